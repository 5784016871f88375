"""Packages that are installed on this machine and that a container would not have: as if they were not installed."""

from __future__ import annotations

import contextlib
import importlib.machinery
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pytest_modal.remote.installed import canonical


class HiddenPackages:
    """Makes the finders of this process pass over packages.

    Python tells a package that no finder finds as it tells one that is not installed, so that code which looks first
    takes the same branch as in a container. What was imported before stays.

    Parameters
    ----------
    modules : iterable of str
        Dotted names of the modules that are not found.
    distributions : iterable of str
        Normal names of the distributions whose metadata is found, and no other.
    """

    def __init__(self, modules: Iterable[str], distributions: Iterable[str]) -> None:
        self._modules = frozenset(modules)
        self._distributions = frozenset(distributions)
        self._missed: set[str] = set()  # distributions that were asked for

    def hide(self) -> None:
        """Begin. The finders stay the same objects: there is code that looks for them."""
        for finder in sys.meta_path:
            if finder in (importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter):
                continue
            for name, wrapped in (("find_spec", self._finding), ("find_distributions", self._listing)):
                find = getattr(finder, name, None)
                if find is not None:
                    new = wrapped(find)
                    # A finder without room for attributes finds what it finds.
                    with contextlib.suppress(AttributeError):
                        setattr(finder, name, staticmethod(new) if isinstance(finder, type) else new)

    def missed_by(self, error: BaseException) -> str | None:
        """Return the module or distribution whose absence an exception is about, if it is a hidden one."""
        name = error.name if isinstance(error, ModuleNotFoundError) else None
        if name is None:
            return None
        return name if name in self._modules or canonical(name) in self._missed else None

    def _finding(self, find: Callable[..., Any]) -> Callable[..., Any]:
        def find_spec(fullname: str, *more: Any, **keywords: Any) -> Any:
            return None if fullname in self._modules else find(fullname, *more, **keywords)

        return find_spec

    def _listing(self, find: Callable[..., Iterable[Any]]) -> Callable[..., Iterable[Any]]:
        def find_distributions(context: Any, /) -> Iterator[Any]:
            for each in find(context):
                name = canonical(each.name or "") if context.name is None else canonical(context.name)
                if name in self._distributions:
                    yield each
                else:
                    self._missed.add(name)

        return find_distributions
