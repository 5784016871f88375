"""Constants: how what a name is bound to travels, as its statement or as its value."""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_modal.batch.calls import Data
from pytest_modal.code.bindings import Modules, found_at
from pytest_modal.code.effects import Effects, Target
from pytest_modal.code.refusals import is_of_pytest
from pytest_modal.code.units import Chain, Unit, words
from pytest_modal.remote import data

# What reads files of this machine.
_FILES = words(
    """
    open read_text read_bytes read_csv read_json read_parquet read_excel read_table read_pickle read_feather read_hdf
    read_orc loadtxt fromfile genfromtxt memmap imread load_file safe_open load_from_disk from_pretrained iterdir glob
    rglob listdir scandir getline spec_from_file_location
    """
)
_LOADS_FILE = re.compile(r"(np|numpy|torch|joblib|yaml|tomllib|h5py)\.(load|File)")
# What asks which machine this is, or what its environment says: a container has other answers.
_MACHINE = words(
    """
    environ environb getenv getenvb expandvars which find_spec platform uname cpu_count sched_getaffinity
    get_num_threads gethostname getuser getpass __version__ is_available default_backend mem_get_info version
    """
)
# What has another answer in another directory or process; nobody means the machine by it.
_PLACES = words("getcwd cwd home expanduser gettempdir argv exists is_file is_dir")
_ASKING_MODULES = {"subprocess", "platform", "socket", "getpass", "psutil", "pynvml"}
_ASKS_MACHINE = re.compile(r"(^|_)(cuda|gpus?|devices?|xpu|npu|hpu|mps|accelerator)(_|$)|_available$")
# Expressions of these have the same value everywhere.
_PURE_CALLS = words(
    """
    len range dict list tuple set frozenset sorted sum min max zip enumerate str int float bool abs round
    reversed map filter bytes complex chr ord
    """
)
_PURE_METHODS = words(
    """
    format join split upper lower strip keys values items replace copy encode splitlines title capitalize get
    union
    """
)
_RUN_WITH_A_CLASS = ("__init__", "__new__", "__post_init__")
_DEEPEST = 50
_LONGEST_TEXT = 100_000
_SCALARS = (str, int, float, bool, complex, bytes)
_ARRAYS = {"ndarray", "float64", "float32", "int64", "int32", "bool"}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Source:
    """The statements travel and run in the container."""


@dataclass(frozen=True)
class Reference:
    """The name is bound to what another local module defines.

    Attributes
    ----------
    key, qualname : str
        Where that is; the module itself where the second is empty.
    """

    key: str
    qualname: str


@dataclass(frozen=True)
class Value:
    """The value travels: as data, or else pickled.

    Attributes
    ----------
    decided_here : bool
        Whether its statement asked this machine or its environment: a container might have another answer.
    """

    value: object
    is_data: bool
    decided_here: bool = False

    @cached_property
    def encoded(self) -> Data:
        """The value as data, encoded once for all functions that use it."""
        buffers = data.encode(self.value)
        return Data(data.digest(buffers), buffers)


How = Source | Reference | Value
SOURCE = Source()


class Constants:
    """Decides how names travel.

    Parameters
    ----------
    modules : Modules
        The local modules.
    effects : Effects
        What changes them.
    """

    def __init__(self, modules: Modules, effects: Effects) -> None:
        self._modules = modules
        self._effects = effects
        self._known: dict[tuple[str, str, str], How] = {}
        self._speaking: dict[tuple[Unit, str], bool] = {}

    def how(self, key: str, name: str, root: str) -> How:
        """Return how a name of a module travels with a function of the module `root`."""
        if (key, name, root) not in self._known:
            self._known[key, name, root] = self._how(key, name, root)
        return self._known[key, name, root]

    def _how(self, key: str, name: str, root: str) -> How:
        scope = self._modules.scope(key)
        units = self._modules.units(key).by_name[name]
        if name not in scope or any(isinstance(unit.node, _DEFINITIONS) for unit in units):
            return SOURCE
        value = scope[name]
        if isinstance(value, types.FunctionType | type | types.ModuleType):
            return self._code(key, value)
        reads_files, asks_machine = self.reads_files(key, *units), self._asks_machine(key, units)
        if not is_exact(value):
            reads_files |= self.reads_files(key, *self._changing(key, units, root))
            no_need = isinstance(value, Path) or is_of_pytest(value)
            return Value(value, False, asks_machine) if reads_files and not no_need else SOURCE
        if name in self._modules.units(key).reassigned or self._names_rootdir(value):
            return SOURCE
        if not reads_files and (asks_machine or self._asks_machine(key, units, "places")):
            return SOURCE
        if all(map(_is_pure, units)) and not self._is_changed(key, units, root):
            return SOURCE
        return Value(value, True, asks_machine)

    def _code(self, key: str, value: Any) -> How:
        """Return how a function, a class or a module travels that a statement has bound."""
        if isinstance(value, types.ModuleType):
            other, qualname = self._modules.key(vars(value)), ""
        else:
            scope, qualname = getattr(value, "__globals__", {}), value.__qualname__
            is_there = "<" not in qualname and bool(scope) and found_at(scope, qualname) is value
            other = self._modules.key(scope) if is_there else None
        return Reference(other, qualname) if other and other != key else SOURCE

    def _names_rootdir(self, value: object) -> bool:
        return str(self._modules.local.rootdir) in repr(value)[:_LONGEST_TEXT]

    def _is_changed(self, key: str, units: list[Unit], root: str) -> bool:
        changes = self._changing(key, units, root)
        # A loop that builds its own name in several statements is one of them.
        return bool(changes) and not (len(units) > 1 and any(unit in units for unit in changes))

    def _changing(self, key: str, units: list[Unit], root: str) -> list[Unit]:
        """Return the statements that change what others bind."""
        # In `a = b = []` both names are the same list.
        names = {name for unit in units for name in unit.binds}
        near = self._effects.near(root)
        return [unit for name in names for _, unit in near.get(Target("name", key, name), ())]

    def reads_files(self, key: str, *units: Unit) -> bool:
        """Whether running statements reads files of this machine."""
        return any(self._speaks(key, unit, "files") for unit in units)

    def _asks_machine(self, key: str, units: list[Unit], of: str = "machine") -> bool:
        guarded = any(imported.at_import for unit in units for imported in unit.imports)
        return guarded or any(self._speaks(key, unit, of) for unit in units)

    def _speaks(self, key: str, unit: Unit, of: str, seen: set[Unit] | None = None) -> bool:
        """Whether a statement, or code that it uses, speaks of "files", of the "machine", of "places" in it."""
        if (unit, of) in self._speaking:
            return self._speaking[unit, of]
        first = seen is None
        seen = set() if seen is None else seen
        if unit in seen:
            return False
        seen.add(unit)
        answer = _says(unit, of) or any(self._leads_to(key, unit, chain, of, seen) for chain in _chains_run(unit))
        if first or answer:  # within a circle, "no" is not yet known
            self._speaking[unit, of] = answer
        return answer

    def _leads_to(self, key: str, unit: Unit, chain: Chain, of: str, seen: set[Unit]) -> bool:
        """Whether a name leads to code that speaks of it, of a package too."""
        found = self._modules.resolve(key, chain)
        if found is None or found.kind == "module":
            return False
        if found.kind == "name":
            inner = self._modules.units(found.where).by_name.get(found.name, [])
            # A class that is only named, in an annotation for example, makes no instance.
            is_called = ".".join(chain) in unit.called
            return any(
                self._speaks(found.where, each, of, seen)
                for each in inner
                if is_called or not isinstance(each.node, ast.ClassDef)
            )
        if of == "machine" and found.where in _ASKING_MODULES:
            return True
        # Under another name here: `from os import getenv as ask`.
        names = {each.name for unit in self._modules.units(key).by_name.get(chain[0], ()) for each in unit.imports}
        return not names.isdisjoint({"machine": _MACHINE, "places": _PLACES, "files": _FILES}[of])


def says_files(unit: Unit) -> bool:
    """Whether code in a statement, that of its functions too, reads files."""
    return bool(unit.words & _FILES) or any(_LOADS_FILE.fullmatch(each) for each in unit.called)


def reads_when_defined(unit: Unit) -> bool:
    """Whether a definition reads files when it runs: in defaults, decorators, the statements of a class."""
    said, called = _said_by(unit, _run_by_definition(unit.node))
    return bool(said & _FILES) or any(_LOADS_FILE.fullmatch(each) for each in called)


def _said_by(unit: Unit, nodes: Iterable[ast.Name | ast.Attribute]) -> tuple[set[str], set[str]]:
    """Return the words of a part of a statement, and what it calls."""
    said = {each.attr if isinstance(each, ast.Attribute) else each.id for each in nodes}
    return said, {each for each in unit.called if each.rpartition(".")[2] in said}


def _run_by_definition(node: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    run: list[ast.AST] = [*getattr(node, "decorator_list", ())]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        run += [*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)]
    elif isinstance(node, ast.ClassDef):
        for each in node.body:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _run_by_definition(each)
            else:
                run.append(each)
    for root in run:
        yield from (inner for inner in ast.walk(root) if isinstance(inner, ast.Name | ast.Attribute))


def _says(unit: Unit, of: str) -> bool:
    said, called = _run(unit)
    if of == "files":
        return bool(said & _FILES) or any(_LOADS_FILE.fullmatch(each) for each in called)
    if of == "places":
        return bool(said & _PLACES)
    parts = {part for each in called for part in each.split(".")}
    return bool(said & _MACHINE) or any(map(_ASKS_MACHINE.search, parts))


def _run(unit: Unit) -> tuple[set[str], set[str]]:
    """Return the words and calls of what runs when a statement runs: of a class what its instances begin with."""
    if not isinstance(unit.node, ast.ClassDef):
        return unit.words, unit.called
    return _said_by(unit, _run_of_class(unit.node))


def _run_of_class(node: ast.ClassDef) -> list[ast.Name | ast.Attribute]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    run = [each for each in node.body if not isinstance(each, functions) or each.name in _RUN_WITH_A_CLASS]
    return [
        inner for each in (*run, *node.bases) for inner in ast.walk(each) if isinstance(inner, ast.Name | ast.Attribute)
    ]


def _chains_run(unit: Unit) -> list[Chain]:
    names = unit.uses
    if isinstance(unit.node, ast.ClassDef):
        names = names & _run(unit)[0]
    return [(name, *chain) for name in sorted(names) for chain in unit.chains.get(name, ())]


def _is_pure(unit: Unit) -> bool:
    node = unit.node
    return (
        isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and node.value is not None and is_pure(node.value)
    )


def is_pure(node: ast.AST) -> bool:
    """Whether an expression has the same value everywhere, given its names: it calls nothing but harmless builtins."""
    if isinstance(node, ast.Call):
        function = node.func
        harmless = isinstance(function, ast.Name) and function.id in _PURE_CALLS
        if isinstance(function, ast.Attribute):
            harmless = function.attr in _PURE_METHODS and is_pure(function.value)
        return harmless and all(map(is_pure, (*node.args, *(each.value for each in node.keywords))))
    if isinstance(node, ast.Lambda | ast.Await | ast.Yield | ast.YieldFrom):
        return False
    return all(map(is_pure, ast.iter_child_nodes(node)))


def is_exact(value: object, depth: int = 0) -> bool:
    """Whether a value is data of plain types: it comes back equal, and of the same types."""
    if value is None or type(value) in _SCALARS:
        return True
    if depth >= _DEEPEST:
        return False
    if type(value) in (list, tuple):  # a set is no data: its statement travels, or a pickle
        return all(is_exact(each, depth + 1) for each in value)  # type: ignore[attr-defined]
    if type(value) is dict:
        return all(is_exact(each, depth + 1) for pair in value.items() for each in pair)
    return _is_array(value)


def _is_array(value: Any) -> bool:
    kind = type(value)
    return kind.__module__ == "numpy" and kind.__name__ in _ARRAYS and value.dtype != object
