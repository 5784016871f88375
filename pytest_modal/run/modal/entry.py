"""The class that Modal's runtime calls: it travels by value and starts the worker from the bundle."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from pytest_modal.remote.children import WORKER

# The version that runs pytest: what travels by value is bytecode, which another one misreads or crashes on.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_ANOTHER = re.compile(r"pytest-modal: (the image of .+? has Python [\d.]+, and [\d.]+ runs pytest)")
_CHECK = """
import sys
if '%d.%d' % sys.version_info[:2] != {python!r}:
    here = '%d.%d' % sys.version_info[:2]
    raise RuntimeError('pytest-modal: the image of {name} has Python ' + here + ', and {python} runs pytest')
"""


def another_python(error: BaseException) -> str:
    """Return what the check of the version said, if that is why a container could not start."""
    found = _ANOTHER.search(str(error))
    return found[1] if found else ""


class _RunsWhereItIsRead:
    """Source that runs when its pickle is read: before any bytecode of the class does, and in any version."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str, dict[str, object]]]:
        return exec, (self._source, {})


def entry_class(name: str, bundle: bytes, mark: str, patterns: tuple[str, ...], public: tuple[str, ...] | None) -> type:
    """Return the class of one environment.

    The class is local, so cloudpickle ships it by value, and what it imports, it imports in the container.

    Parameters
    ----------
    name : str
        Name of the Modal Function.
    bundle : bytes
        See `pytest_modal.run.bundle.bundle`.
    mark : str
        See `pytest_modal.remote.modal_worker.ModalWorker`.
    patterns, public : tuple of str
        Which environment variables are secret, see `pytest_modal.remote.masks.SecretNames`.
    """
    import modal

    worker = WORKER

    class Entry:
        # The first of the class, so that it is read first.
        python = _RunsWhereItIsRead(_CHECK.format(python=PYTHON, name=name))

        @modal.enter()
        def start(self) -> None:
            import io
            import sys
            import tempfile
            import zipfile
            from pathlib import Path

            try:
                # As files, Python keeps their bytecode for the processes that run the calls.
                folder = str(Path(tempfile.mkdtemp(), worker))
                with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
                    archive.extractall(folder)
                sys.path.insert(0, folder)
                from pytest_modal.remote.starting import first_in_container

                first = first_in_container()
                from pytest_modal.remote.masks import SecretNames
                from pytest_modal.remote.modal_worker import ModalWorker
            except Exception as error:
                # The local side would take an OSError, for example, for one of its own network.
                raise RuntimeError(f"the worker could not start: {type(error).__name__}: {error}") from error
            import modal.experimental

            secret = SecretNames(patterns, public)
            self.container = ModalWorker(name, modal.experimental.stop_fetching_inputs, secret, mark, first)

        @modal.method()
        def run(self, payload: bytes) -> bytes:
            answer: bytes = self.container.run(payload)
            return answer

        @modal.exit()
        def stop(self) -> None:
            self.container.close()

    entry: Any = Entry
    entry.__name__ = entry.__qualname__ = name
    return Entry
