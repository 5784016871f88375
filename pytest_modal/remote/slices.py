"""Slices: modules of the project that are filled with the statements that the functions of this container need.

They stand in ``sys.modules`` under their own names, and have a source: what runs here behaves as a module does.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import io
import linecache
import pickle
import re
import sys
import types
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pytest_modal.remote import data
from pytest_modal.remote.children import PAYLOADS, Children
from pytest_modal.remote.placeholder import Placeholder
from pytest_modal.remote.shipped_form import (
    CODE,
    NAMES,
    SETTING,
    THERE,
    WEAK,
    Bound,
    Entry,
    Statement,
    read_entry,
    setting_name,
    settings_of,
)
from pytest_modal.remote.statements import (
    SHIPPED,
    compiled,
    compiled_function,
    parsed,
    parsed_function,
    reduced,
    without_decorators,
)

_LEFT_OUT = (ImportError, NameError, AttributeError, TypeError)


@dataclass(eq=False)
class _Slice:
    """A module of the project, as far as it is known here."""

    key: str
    name: str
    is_package: bool
    flags: int
    lines: list[str]
    entries: list[Entry] = field(default_factory=list)
    waiting: list[Entry] = field(default_factory=list)
    done: set[object] = field(default_factory=set)
    is_running: bool = False
    of_image: bool = False  # what the image has stands in its place


class Loaded(NamedTuple):
    """A function, and the settings that its modules make: see `Slices`."""

    function: Callable[..., Any]
    settings: list[str]


class ProcessState(Protocol):
    """The state of the process: see `pytest_modal.remote.state`."""

    def loading(self, settings: Iterable[str]) -> None:
        """Begin to fill the modules of a function."""

    def setting(self, key: str) -> AbstractContextManager[object]:
        """Return a context for a statement that changes the state."""


class NoState:
    """Lets the state be as it is."""

    def loading(self, settings: Iterable[str]) -> None:
        """Do nothing."""

    def setting(self, key: str) -> AbstractContextManager[object]:
        """Do nothing."""
        return contextlib.nullcontext()


class Slices(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and fills the slices of this process.

    Parameters
    ----------
    state : ProcessState or None
        Is told of statements that change the state of the process.

    Attributes
    ----------
    prefers_image : bool
        Whether packages that an image of the project's own has, with their data and compiled modules, are taken from
        there; but for that of the function itself.
    """

    def __init__(self, state: ProcessState | None = None) -> None:
        self._state = state or NoState()
        self._slices: dict[str, _Slice] = {}
        self._keys: dict[str, str] = {}  # by name of the module; empty for packages of which nothing is needed
        self._entries: dict[bytes, Entry] = {}  # what was loaded, by its payload
        self._children = Children()
        self._in_image: dict[str, bool] = {}
        self.prefers_image = False

    def function(self, payload: bytes, modules: Mapping[str, bytes]) -> Callable[..., Any]:
        """Return a function from its payload and the texts of its modules."""
        return self.load(payload, modules).function

    def load(self, payload: bytes, modules: Mapping[str, bytes]) -> Loaded:
        """Return a function, whose modules are filled as far as it needs.

        Parameters
        ----------
        payload : bytes
            See `pytest_modal.code.payload`.
        modules : mapping
            The texts of its modules.

        Raises
        ------
        Exception
            Whatever a statement raises.
        """
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        known = self._entries.get(payload)
        entry = known or read_entry(data.decode(zlib.decompress(payload)))
        texts = [data.decode(zlib.decompress(text)) for text in modules.values()]
        for text in texts:
            if text["key"] == entry.root[1]:
                self._in_image[_top(text["name"])] = False
        for text in texts:
            self._know(text)
        if known is not None:  # an argument, which each call gets anew
            return Loaded(self._root(known), settings_of(known))
        for key in entry.keys:
            self._slices[key].entries.append(entry)
            self._slices[key].waiting.append(entry)
        self._children.add(payload, modules, prefers_image=self.prefers_image)
        settings = settings_of(entry)
        self._state.loading(settings)
        try:
            for key in entry.keys:
                if key in entry.eager or self._filled(key) is not None:
                    self.ensure(key)
            loaded = Loaded(self._root(entry), settings)
            self._entries[payload] = entry
            return loaded
        except BaseException:
            # It must not run again for other functions that need these modules.
            for key in entry.keys:
                this = self._slices[key]
                this.entries.remove(entry)
                if entry in this.waiting:
                    this.waiting.remove(entry)
            raise

    def close(self) -> None:
        """Leave the process as it was found."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._children.close()

    def _know(self, text: dict[str, Any]) -> None:
        key, lines = text["key"], list(io.StringIO(text["source"]))
        known = self._slices.get(key)
        if known is None:
            known = self._slices[key] = _Slice(key, text["name"], text["package"], text["flags"], lines)
            self._name(known)
        else:  # of another batch: each has the lines that its functions need
            shorter, longer = sorted((known.lines, lines), key=len)
            shorter = [*shorter, *["\n"] * (len(longer) - len(shorter))]
            known.lines = [here if here.strip() else there for here, there in zip(shorter, longer, strict=True)]
        file = SHIPPED + key
        linecache.cache[file] = (sum(map(len, known.lines)), None, known.lines, file)

    def _name(self, new: _Slice) -> None:
        if self.prefers_image and (new.is_package or "." in new.name) and self._is_in_image(_top(new.name)):
            new.of_image = True
            return
        if self._keys.get(new.name):  # two files of one name, such as conftest.py: the second is known by its path
            new.name = re.sub(r"\W", "_", new.key.removesuffix(".py"))
        self._keys[new.name] = new.key
        parent = new.name.rpartition(".")[0]
        while parent:
            self._keys.setdefault(parent, "")
            parent = parent.rpartition(".")[0]

    def _is_in_image(self, top: str) -> bool:
        if top not in self._in_image:
            self._in_image[top] = importlib.machinery.PathFinder.find_spec(top) is not None
        return self._in_image[top]

    # What the import system asks.

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a slice."""
        if fullname not in self._keys:
            return None
        key = self._keys[fullname]
        spec = importlib.machinery.ModuleSpec(
            fullname, self, origin=SHIPPED + key if key else None, is_package=self.is_package(fullname)
        )
        spec.has_location = bool(key)
        if spec.submodule_search_locations is not None:
            # Below it there may be a package that travels as it is, or another part of a namespace.
            last = fullname.rpartition(".")[2]
            places = [Path(each, last) for each in (sys.path if path is None else path)]
            spec.submodule_search_locations += [str(each) for each in places if each.is_dir()]
        return spec

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill a slice."""
        if key := self._keys[module.__name__]:
            this = self._slices[key]
            # The module is new, or to be filled again, whatever ran before.
            this.waiting, this.done = list(this.entries), set()
            self._run(key, vars(module))

    def get_source(self, fullname: str) -> str:
        """Return the source of a slice, with blank lines for what is not here."""
        key = self._keys.get(fullname)
        return "".join(self._slices[key].lines) if key else ""

    def is_package(self, fullname: str) -> bool:
        """Whether a slice is one of a package."""
        key = self._keys[fullname]
        return not key or self._slices[key].is_package

    def ensure(self, key: str) -> types.ModuleType:
        """Return a module, filled with what is needed of it."""
        if self._slices[key].of_image:
            return importlib.import_module(self._slices[key].name)
        module = self._filled(key)
        if module is None:
            name = self._slices[key].name
            sys.modules.pop(name, None)
            return importlib.import_module(name)
        self._run(key, vars(module))
        return module

    def _filled(self, key: str) -> types.ModuleType | None:
        module = sys.modules.get(self._slices[key].name)
        return module if module is not None and getattr(module, "__loader__", None) is self else None

    def _run(self, key: str, scope: dict[str, Any]) -> None:
        """Bring a module up to date: what is needed of it and has not run yet, in the order of its file."""
        this = self._slices[key]
        if this.is_running:  # a circular import finds it half done, as in Python
            return
        this.is_running = True
        try:
            while this.waiting:
                self._run_entry(this, scope, this.waiting[0])
                this.waiting.pop(0)
        finally:
            this.is_running = False

    def _run_entry(self, this: _Slice, scope: dict[str, Any], entry: Entry) -> None:
        steps: list[Statement | Bound] = [*entry.statements[this.key], *entry.values.get(this.key, ())]
        for step in sorted(steps, key=lambda each: (each.line, each.column)):
            done = ("value", step.name) if isinstance(step, Bound) else (step.line, step.column, step.part)
            if done in this.done:
                continue
            this.done.add(done)
            try:
                if isinstance(step, Bound):
                    scope[step.name] = self._value(step)
                else:
                    self._run_statement(this, scope, step)
            except BaseException:
                this.done.discard(done)
                raise

    def _run_statement(self, this: _Slice, scope: dict[str, Any], step: Statement) -> None:
        for other in step.after:  # filled before, for another function: the import would find it incomplete
            if other != this.key and (module := self._filled(other)) is not None:
                self._run(other, vars(module))
        first, last = step.block
        node = reduced(parsed(this.lines, first, last, step.line, step.column), step.part)
        says_pytest = any("pytest" in line for line in this.lines[first - 1 : last])
        code = compiled(without_decorators(node, step.drop), this.key, this.flags, says_pytest=says_pytest)
        is_setting = step.flags & SETTING
        with self._state.setting(setting_name(this.key, step)) if is_setting else contextlib.nullcontext():
            try:
                exec(code, scope)
            except _LEFT_OUT:
                if not step.flags & WEAK:
                    raise
                scope.update({name: Placeholder(name) for name in step.binds})

    def _value(self, bound: Bound) -> object:
        if bound.kind == "reference":
            return self._there(*bound.what)
        return self._unpickled(bound.what) if bound.kind == "pickle" else bound.what

    def _root(self, entry: Entry) -> Any:
        kind, *what = entry.root
        return self._unpickled(*what) if kind == "pickle" else self._there(*what)

    def _there(self, key: str, qualname: str) -> Any:
        return functools.reduce(getattr, qualname.split(".") if qualname else [], self.ensure(key))

    def _unpickled(self, pickled: bytes) -> Any:
        return _Unpickler(io.BytesIO(pickled), self).load()

    def resolve(self, kind: str, *where: Any) -> Any:
        """Return what a pickle refers to."""
        if kind == THERE:
            return self._there(*where)
        if kind == NAMES:
            return vars(self.ensure(where[0]))
        if kind == CODE:
            key, first, column, last, last_column, free, qualname = where
            this = self._slices[key]
            node = parsed_function(this.lines, first, column, last, last_column)
            return compiled_function(node, key, this.flags, free).replace(co_qualname=qualname)
        return getattr(importlib.import_module(where[0]), where[1])


def _top(name: str) -> str:
    return name.partition(".")[0]


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, slices: Slices) -> None:
        super().__init__(stream)
        self._slices = slices

    def persistent_load(self, pid: Any) -> Any:
        return self._slices.resolve(*pid)


def nested_function(code: types.CodeType, scope: dict[str, Any]) -> types.FunctionType:
    """Build a nested function, to be finished by `finish_function`: it can be among its own cells."""
    return types.FunctionType(code, scope, code.co_name, None, tuple(types.CellType() for _ in code.co_freevars))


def finish_function(
    function: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any], dict[str, list[Any]]]
) -> None:
    """Give a nested function its defaults, its attributes and what its cells hold."""
    attributes, more, contents = state
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if contents[name]:
            cell.cell_contents = contents[name][0]
    for name, value in attributes.items():
        setattr(function, name, value)
    function.__module__ = function.__globals__["__name__"]
    function.__dict__.update(more)


def fill(folder: str, name: str) -> None:
    """Fill all slices in a child process; called when the first of them is imported there."""
    sys.modules.pop(name, None)
    slices = Slices()
    for each in sorted(Path(folder).glob(f"*.{PAYLOADS}"), key=lambda path: int(path.stem)):
        payload, modules, slices.prefers_image = data.decode(each.read_bytes())
        # A function that can't be loaded here is none that the child was started for.
        with contextlib.suppress(Exception):
            slices.load(payload, modules)
    importlib.import_module(name)
