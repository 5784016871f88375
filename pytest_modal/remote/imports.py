"""A callback right after a package is first imported: its state then is its state in a fresh process."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable, Sequence


class ImportWatch(importlib.abc.MetaPathFinder):
    """Calls a function once, right after a package was imported for the first time.

    Parameters
    ----------
    names : iterable of str
        The packages.
    imported : callable
        Called with the name.
    """

    def __init__(self, names: Sequence[str], imported: Callable[[str], None]) -> None:
        self._waiting = set(names)
        self._imported = imported

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a package as the other finders do, with a loader that calls the function."""
        if fullname not in self._waiting:
            return None
        self._waiting.discard(fullname)  # the finders below are asked for it now
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            self._waiting.add(fullname)  # it is not there yet
            return None
        loader, watch = spec.loader, self

        class Loader(importlib.abc.Loader):
            def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
                return loader.create_module(spec)

            def exec_module(self, module: types.ModuleType) -> None:
                module.__spec__.loader = module.__loader__ = loader  # type: ignore[union-attr]
                try:
                    loader.exec_module(module)
                except BaseException:
                    watch._waiting.add(fullname)
                    raise
                watch._imported(fullname)

        spec.loader = Loader()
        return spec

    def watch(self) -> None:
        """Begin; packages that are there already are reported at once."""
        for name in [name for name in self._waiting if name in sys.modules]:
            self._waiting.discard(name)
            self._imported(name)
        sys.meta_path.insert(0, self)

    def close(self) -> None:
        """End; a second time changes nothing."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
