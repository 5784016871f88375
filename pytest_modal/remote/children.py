"""Child processes that begin empty (``spawn``): they find the slices too.

Python hands ``sys.path`` to them. A folder on it has a file for each module, which fills the module as here.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modal.remote import data

_SHIM = """\
from pytest_modal.remote.slices import fill
fill({folder!r}, __name__)
"""
PAYLOADS = "payloads"
WORKER = "pytest-modal-worker"  # name of the folder that a worker is unpacked into


class Children:
    """Prepares the folder when the first child is started."""

    def __init__(self) -> None:
        self._payloads: list[Any] = []
        self._written = 0
        self._folder: Path | None = None
        self._names: set[str] = set()
        self._prepare: Any = None

    def add(self, payload: bytes, modules: Mapping[str, bytes], *, prefers_image: bool) -> None:
        """Note what a function was loaded from, and how; see `pytest_modal.remote.slices.Slices`."""
        self._payloads.append([payload, dict(modules), prefers_image])
        if self._prepare is None:
            self._watch()

    def _watch(self) -> None:
        import multiprocessing.spawn as spawn

        prepare = self._prepare = spawn.get_preparation_data

        def with_slices(name: str) -> dict[str, Any]:
            self._write()
            return prepare(name)

        spawn.get_preparation_data = with_slices

    def _write(self) -> None:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="slices-", dir=_own_directory()))
            atexit.register(self.close)
            sys.path.append(str(self._folder))
        for number, each in enumerate(self._payloads[self._written :], self._written):
            self._names |= _tops(each[1])
            (self._folder / f"{number}.{PAYLOADS}").write_bytes(b"".join(data.encode(each)))
        self._written = len(self._payloads)
        for name in self._names:
            (self._folder / f"{name}.py").write_text(_SHIM.format(folder=str(self._folder)))

    def close(self) -> None:
        """Remove the folder; a second time changes nothing."""
        if self._prepare is not None:
            import multiprocessing.spawn as spawn

            spawn.get_preparation_data = self._prepare
            self._prepare = None
        if self._folder is not None:
            with contextlib.suppress(ValueError):
                sys.path.remove(str(self._folder))
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _own_directory() -> str | None:
    """Return the folder that the worker was unpacked into, which is removed with it."""
    folder = Path(__file__).parents[2]
    return str(folder) if folder.name == WORKER else None


def _tops(modules: Mapping[str, bytes]) -> set[str]:
    import zlib

    return {str(data.decode(zlib.decompress(text))["name"]).partition(".")[0] for text in modules.values()}
