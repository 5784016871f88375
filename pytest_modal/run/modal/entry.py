"""The class that Modal's runtime calls: it travels by value and starts the worker from the bundle.

No ``from __future__ import annotations`` here: Modal reads the annotation of ``isolation``.
"""

from typing import Any


def entry_class(name: str, bundle: bytes) -> type:
    """Return the class of one environment.

    Its instances with another ``isolation`` have their own containers: so a call can run in isolation.
    The class is local, so cloudpickle ships it by value, and what it imports, it imports in the container.

    Parameters
    ----------
    name : str
        Name of the Modal Function.
    bundle : bytes
        See `pytest_modal.run.bundle.bundle`.
    """
    import modal

    class Entry:
        isolation: str = modal.parameter(default="")

        @modal.enter()
        def start(self) -> None:
            import sys
            import tempfile
            from pathlib import Path

            try:
                archive = Path(tempfile.mkdtemp(), "worker.zip")
                archive.write_bytes(bundle)
                sys.path.insert(0, str(archive))
                from pytest_modal.remote.modal_worker import ModalWorker
            except Exception as error:
                # The local side would take an OSError, for example, for one of its own network.
                raise RuntimeError(f"the worker could not start: {type(error).__name__}: {error}") from error
            import modal.exception
            import modal.experimental

            self.container = ModalWorker(
                name, modal.exception.InputCancellation, modal.experimental.stop_fetching_inputs
            )

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
