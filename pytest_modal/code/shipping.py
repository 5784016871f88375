"""Shipping of functions: what travels is the slice of each local module that a function needs.

The statements run in the container as that module; see `pytest_modal.remote.slices`.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pytest_modal.batch.calls import Code, ShippedFunction
from pytest_modal.batch.digest import digest_of
from pytest_modal.code.bindings import Modules, found_at
from pytest_modal.code.companions import words_that_count
from pytest_modal.code.content import digest_of_content
from pytest_modal.code.keys import digests_of, parts_of, parts_of_packages
from pytest_modal.code.local_code import CodeKeyError, LocalCode
from pytest_modal.code.local_packages import imports_of
from pytest_modal.code.payload import Packer
from pytest_modal.code.pickling import pickled
from pytest_modal.code.reach import Finder, Reach
from pytest_modal.code.refusals import UnshippableError, is_fixture
from pytest_modal.code.summary import summary_of
from pytest_modal.code.unchanged import Unchanged
from pytest_modal.wording import shown_path


class ShippingError(Exception):
    """A function can't be shipped; the message says why and what to do."""


class Shipper:
    """Ships functions, each once.

    Parameters
    ----------
    rootdir : Path
        The directory of the project.
    travels : bool
        Whether functions will be sent. Otherwise only their content is looked at.
    """

    def __init__(self, rootdir: Path, *, travels: bool = True) -> None:
        self._rootdir = rootdir
        self._travels = travels
        self._shipped: dict[tuple[object, tuple[str, ...], str, bool], ShippedFunction] = {}
        self._projects: dict[tuple[tuple[str, ...], bool], _Project] = {}

    def ship(
        self,
        function: Callable[..., object],
        name: str,
        local_packages: tuple[str, ...],
        role: str = "function",
        *,
        own_image: bool = False,
    ) -> ShippedFunction:
        """Return what travels of `function`.

        Parameters
        ----------
        function : callable
            What will be called.
        name : str
            What users call it.
        local_packages : tuple of str
            Packages whose source travels as it is.
        role : str
            What messages about a change of its code call it.
        own_image : bool
            Whether the project defines the image.

        Raises
        ------
        ShippingError
            It uses something that can't travel: a fixture, an open file.
        """
        key = (function, local_packages, role, own_image)
        if key not in self._shipped:
            project = self._project(local_packages, own_image=own_image)
            self._shipped[key] = self._ship(project, function, name, local_packages, role)
        return self._shipped[key]

    def _ship(
        self,
        project: _Project,
        function: Callable[..., object],
        name: str,
        local_packages: tuple[str, ...],
        role: str,
    ) -> ShippedFunction:
        location = self.location(function)
        try:
            reach, root = project.reach(function)
            parts = parts_of(function, reach, project.parts_of_packages, role=role)
            payload, modules = project.packer.pack(reach, root) if self._travels else (b"", ())
        except UnshippableError as error:
            raise ShippingError(error.about(name, location)) from None
        except CodeKeyError as error:
            raise ShippingError(str(error)) from None
        # The line in the file does not count.
        key = digest_of(name, location.rpartition(":")[0], *(f"{part}={digest}" for part, digest in parts.items()))
        return ShippedFunction(
            key,
            name,
            location,
            payload,
            tuple(sorted({*reach.required, *project.imports_of_packages})),
            parts,
            optional=tuple(sorted(reach.optional)),
            modules=modules,
            travels=summary_of(reach),
            body=function,
            words=project.words(reach),
        )

    def ship_argument(
        self,
        value: object,
        name: str,
        function: Callable[..., object],
        local_packages: tuple[str, ...],
        *,
        own_image: bool = False,
    ) -> Code:
        """Return what travels of an argument of `function` that is code or holds some.

        Raises
        ------
        ShippingError
            It can't travel.
        """
        project, location = self._project(local_packages, own_image=own_image), self.location(function)
        try:
            reach, root = project.reach_of_value(value, name, function)
            parts = digests_of(reach)
            payload, modules = project.packer.pack(reach, root)
        except UnshippableError as error:
            raise ShippingError(error.about(f"argument {name!r}", location)) from None
        except CodeKeyError as error:
            raise ShippingError(str(error)) from None
        # What it is made from counts too: the class of an instance, the helpers of a function.
        content = digest_of_content(value)
        digest = digest_of(content, *(f"{part}={digest}" for part, digest in sorted(parts.items())))
        return Code(digest, (payload,), tuple(sorted(reach.required)), modules, content, project.words(reach))

    def _project(self, local_packages: tuple[str, ...], *, own_image: bool) -> _Project:
        key = local_packages, own_image
        if key not in self._projects:
            self._projects[key] = _Project(self._rootdir, local_packages, own_image=own_image)
        return self._projects[key]

    def location(self, function: Callable[..., object]) -> str:
        """Return ``path:line`` of a function, relative to the rootdir."""
        own: Any = inspect.unwrap(function)
        while isinstance(own, functools.partial):
            own = inspect.unwrap(own.func)
        code = getattr(own, "__code__", None)
        if code is None:
            kind = own if isinstance(own, type | types.BuiltinFunctionType) else type(own)
            return f"{kind.__module__}.{kind.__qualname__}"
        return f"{shown_path(Path(code.co_filename), self._rootdir)}:{code.co_firstlineno}"


class _Project:
    """What is known of the project with some of its packages travelling as they are."""

    def __init__(self, rootdir: Path, local_packages: tuple[str, ...], *, own_image: bool) -> None:
        self._modules = Modules(LocalCode(rootdir, local_packages, own_image=own_image))
        # In the order in which they were done: so they are filled in the container.
        self._modules.note([each for each in list(sys.modules.values()) if isinstance(each, types.ModuleType)])
        self._finder = Finder(self._modules, pickled)
        self._unchanged = Unchanged(self._modules)
        self._words: dict[tuple[object, ...], frozenset[str]] = {}
        self.packer = Packer(self._modules)
        self._local_packages = local_packages

    @functools.cached_property
    def imports_of_packages(self) -> set[str]:
        """What the packages that travel as they are import of others."""
        return set(imports_of(self._local_packages))

    @functools.cached_property
    def parts_of_packages(self) -> dict[str, str]:
        """Digests of the packages that travel as they are."""
        return parts_of_packages(self._local_packages)

    def reach(self, function: Callable[..., object]) -> tuple[Reach, list[Any]]:
        """Return what a function needs, and how it is found in the container."""
        key, qualname = self._place_of(function)
        reach = Reach(self._finder, key or "")
        root: list[Any]
        if key is not None and qualname is None:  # a closure, a lambda, a partial, perhaps of a name
            qualname = reach.name_of(function, key)
        if key is not None and qualname is not None:
            name = qualname.partition(".")[0]
            if is_fixture(self._modules.scope(key)[name]):
                for unit in self._modules.units(key).by_name[name]:
                    reach.add_unit(key, unit)
            else:
                reach.add_name(key, name)
            root = ["name", key, qualname]
        else:
            root = ["pickle", pickled(reach, function, getattr(function, "__name__", type(function).__name__))]
        self._finish(reach)
        return reach, root

    def reach_of_value(self, value: object, name: str, function: Callable[..., object]) -> tuple[Reach, list[Any]]:
        """Return what an argument of a function needs, and how it is found in the container."""
        key, _ = self._place_of(function)
        reach = Reach(self._finder, key or "")
        root = ["pickle", pickled(reach, value, name)]
        self._finish(reach)
        return reach, root

    def words(self, reach: Reach) -> frozenset[str]:
        """Return what the code says that asks for more packages."""
        found = frozenset[str]()
        for key, needed in reach.statements():
            place = (key, *needed.unit.place)
            if place not in self._words:
                self._words[place] = words_that_count(needed.unit.node)
            found |= frozenset() if needed.weak else self._words[place]
        return found

    def _finish(self, reach: Reach) -> None:
        reach.settle()
        for each in reach.units:
            self._unchanged.check(each)

    def _place_of(self, function: Callable[..., object]) -> tuple[str | None, str | None]:
        """Return the module of a function, and its qualified name there if it is bound at top level."""
        qualname = str(getattr(function, "__qualname__", ""))
        name = qualname.partition(".")[0]
        first = None
        for scope in _scopes_of(function):
            key = self._modules.key(scope)
            if key is None:
                continue
            first = first or key
            # What wraps it may be written in another module.
            if "<" not in qualname and name in self._modules.units(key).by_name:
                bound = found_at(scope, qualname)
                is_declared = is_fixture(bound) and inspect.unwrap(bound) is inspect.unwrap(function)
                if bound is function or is_declared:
                    return key, qualname
        return first, None


def _scopes_of(function: object) -> Iterator[dict[str, Any]]:
    """Yield the modules that a callable may be of: a function, a partial of one, a method, an instance."""
    if isinstance(function, functools.partial):
        yield from _scopes_of(function.func)
        return
    own = getattr(function, "__func__", function)
    if isinstance(own, types.FunctionType):
        yield own.__globals__
    for each in (own, type(own)):
        module = sys.modules.get(getattr(each, "__module__", None) or "")
        if module is not None:
            yield vars(module)
