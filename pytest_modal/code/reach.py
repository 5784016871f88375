"""Reach: everything of the project that one function needs, and of packages.

One notion of it serves what is sent, the content key, the requirements of the image and the rules.
"""

from __future__ import annotations

import builtins
import contextlib
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pytest_modal.batch.digest import digest_of
from pytest_modal.code.bindings import Meaning, Modules, is_package_without_file
from pytest_modal.code.constants import SOURCE, Constants, How, Reference, Value
from pytest_modal.code.effects import Changes, Effects, Target
from pytest_modal.code.local_code import PYTESTS_AND_OURS
from pytest_modal.code.local_files import refuse_reading
from pytest_modal.code.needed import Needed, Travelling
from pytest_modal.code.origins import check_source, is_packaged
from pytest_modal.code.refusals import UnshippableError, check_use, is_of_pytest, refuse_fixture, refuse_variables
from pytest_modal.code.units import Chain, Imported, Unit, unit_of
from pytest_modal.remote.statements import reduced

# Code that says one of these may look up names by their text.
_DYNAMIC = {"globals", "modules", "import_module", "__import__", "vars", "getattr", "patch", "setattr"}
_ALL_NAMES = {"globals", "modules", "import_module", "vars"}  # those that may look up any name of a module
_MAKES_NAMES = {"exec", "globals", "vars", "setattr"}
_DOTTED = re.compile(r"[A-Za-z_][\w.]*")
_TESTS_AND_HOOKS = ("test_", "Test", "pytest_")
Place = tuple[str, int]  # the key of a module, and a line
_READS_VARIABLES = {"load_dotenv"}


@dataclass
class Finder:
    """What all functions of a project share: its modules, what changes them, how constants travel, how to pickle."""

    modules: Modules
    pickled: Callable[[Reach, object, str, str], bytes]
    looked_at: dict[Unit, tuple[tuple[str, str] | None, bool]] = field(default_factory=dict)
    effects: Effects = field(init=False)
    constants: Constants = field(init=False)

    def __post_init__(self) -> None:
        self.effects = Effects(self.modules)
        self.constants = Constants(self.modules, self.effects)


class Reach:
    """What one function needs.

    Parameters
    ----------
    finder : Finder
        What is known of the project.
    root : str
        The key of the function's module; empty for a function from outside of the project.

    Attributes
    ----------
    units : dict
        For each local module the units that are needed, by their place.
    values : dict
        What names are bound to that do not travel as statements, by module and name.
    required, optional : dict
        Dotted names of modules of packages, and where they are imported: the module and the line. The second are not
        needed, or are missing here too.
    eager : set of str
        The modules that are filled before the function is called; others wait until they are imported.
    looked_at : dict
        Of statements that some function needs, by which path they read files of this machine, and whether what they
        bind was replaced.
    closures : dict
        Digests of what nested functions and pickled values hold, by what they are called.
    """

    def __init__(self, finder: Finder, root: str) -> None:
        self._modules, self._effects, self._constants = finder.modules, finder.effects, finder.constants
        self._pickled = finder.pickled
        self.looked_at = finder.looked_at
        self.root = root
        self.units: dict[str, dict[tuple[Any, ...], Needed]] = {}
        self.values: dict[tuple[str, str], Travelling] = {}
        self.required: dict[str, Place] = {}
        self.optional: dict[str, Place] = {}
        self.eager = {root} if root else set()
        self.closures: dict[str, str] = {}
        self._names: dict[tuple[str, str], bool] = {}
        self._changeable = set[tuple[str, str]]()  # what reached statements bind
        self._packages = set[str]()  # whose settings count

    @property
    def modules(self) -> Modules:
        """The local modules."""
        return self._modules

    def how(self, key: str, name: str) -> How:
        """Return how a name of a local module travels."""
        return self._constants.how(key, name, self.root)

    def name_of(self, value: object, key: str) -> str | None:
        """Return the name by which a statement at the top level of a module binds a value."""
        by_name = self._modules.units(key).by_name
        names = (name for name, bound in self._modules.scope(key).items() if bound is value and name in by_name)
        return next((name for name in names if self.how(key, name) == SOURCE), None)

    def add_whole_module(self, key: str, *, weak: bool = False) -> None:
        """Add a module that is used as a value: all of it, but what is pytest's."""
        self.units.setdefault(key, {})
        scope = self._modules.scope(key)
        for name in self._modules.units(key).by_name:
            value = scope.get(name)
            if not (name.startswith(_TESTS_AND_HOOKS) or name == "pytestmark" or is_of_pytest(value)):
                self.add_name(key, name, weak=weak)

    def add_name(self, key: str, name: str, *, weak: bool = False) -> None:
        """Add what binds a name of a module, and all that this needs."""
        known = self._names.get((key, name))
        if known is not None and known <= weak:
            return
        self._names[key, name] = weak
        self.units.setdefault(key, {})
        units = self._modules.units(key).by_name.get(name)
        if units is None:
            self._add_unbound(key, name, weak=weak)
            return
        refuse_fixture(self._modules.scope(key).get(name), name)
        how = self.how(key, name)
        if how == SOURCE:
            for unit in units:
                self.add_unit(key, unit, weak=weak)
        elif isinstance(how, Reference):
            self._add_reference(key, name, how, weak=weak)
        elif isinstance(how, Value):
            self._add_value(key, name, how, units, weak=weak)

    def _add_unbound(self, key: str, name: str, *, weak: bool) -> None:
        """Add a name that no statement binds: one of a star import, or of a module that answers for its names."""
        star = self._modules.star(key, name)
        if star is not None:
            unit, _ = star
            self.add_unit(key, unit_of(reduced(unit.node, name), (*unit.place[:2], name)), weak=weak)
            return
        if name in self._modules.scope(key) and not name.startswith("__"):
            self._changeable.add((key, name))  # by the call of a function that declares it global
            self._add_makers_of_names(key, weak=weak)
            return
        answers = "__getattr__" in self._modules.units(key).by_name and not name.startswith("__")
        if not answers or hasattr(builtins, name):
            return
        value = getattr(sys.modules.get(self._modules.name(key)), name, None)
        if isinstance(value, types.FunctionType | type) and "<" not in value.__qualname__:
            other = self._modules.module(value.__module__ or "")
            if other is not None:
                self._add_reference(key, name, Reference(other, value.__qualname__), weak=weak)
                return
        self.add_name(key, "__getattr__", weak=weak)

    def _add_makers_of_names(self, key: str, *, weak: bool) -> None:
        """Add the statements that may bind names which are nowhere written: ``exec``, ``globals()[name] = ...``."""
        for unit in self._modules.units(key).units:
            if unit.words & _MAKES_NAMES and not unit.is_definition:
                self.add_unit(key, unit, weak=weak)

    def _add_reference(self, key: str, name: str, how: Reference, *, weak: bool) -> None:
        self.values[key, name] = Travelling(how)
        self.units.setdefault(how.key, {})
        self.eager.add(how.key)
        if how.qualname:
            self.add_name(how.key, how.qualname.partition(".")[0], weak=weak)

    def _add_value(self, key: str, name: str, how: Value, units: list[Unit], *, weak: bool) -> None:
        where = f"{key}:{units[0].line}"
        try:
            pickled = None if how.is_data else self._pickled(self, how.value, name, where)
        except UnshippableError:
            if weak:
                return
            raise
        refuse_variables(f"uses {name}, which holds", pickled or how.value, where, asked=how.decided_here)
        if pickled is None and how.encoded.needs_numpy:
            self.required.setdefault("numpy", (key, units[0].line))
        self.values[key, name] = Travelling(how, pickled)

    def add_unit(self, key: str, unit: Unit, *, weak: bool = False, is_setting: bool = False) -> None:
        """Add a statement, and all that it needs."""
        refuse_reading(self._modules, key, unit)
        units = self.units.setdefault(key, {})
        known = units.get(unit.place)
        if known is not None and known.weak <= weak:
            known.is_setting |= is_setting
            return
        self._changeable.update((key, name) for name in unit.binds)
        units[unit.place] = Needed(unit, weak, is_setting or (known is not None and known.is_setting))
        self.follow(key, unit, weak=weak)

    def follow(self, key: str, unit: Unit, *, weak: bool = False) -> None:
        """Add everything that a piece of code names."""
        for names, by_hint in ((unit.uses, weak), (unit.hints, True)):
            for name in sorted(names):
                for chain in unit.chains.get(name) or {()}:
                    self._follow_chain(key, name, chain, weak=by_hint, is_import=unit.is_import)
        for imported in unit.imports:
            self._follow_import(key, unit, imported, weak=weak)
        if _looks_up(unit, _DYNAMIC):
            self._follow_texts(key, unit, weak=weak)

    def _follow_chain(self, key: str, name: str, chain: Chain, *, weak: bool, is_import: bool) -> None:
        found = self._modules.resolve(key, [name])
        if found is not None and found.kind == "outside" and found.where in PYTESTS_AND_OURS and not weak:
            imports = [each for unit in self._modules.units(key).by_name.get(name, ()) for each in unit.imports]
            if any(each.name is None for each in imports):
                check_use(found.where, chain[0] if chain else None)
        self.add_name(key, name, weak=weak)
        self._walk(found, chain, weak=weak, is_import=is_import)

    def _walk(self, found: Meaning | None, chain: Chain, *, weak: bool, is_import: bool = False) -> None:
        """Follow attributes from module to module, each by its own binding."""
        rest = list(chain)
        while found is not None and found.kind == "module" and rest:
            inner = self._modules.submodule(found.where, rest[0])
            if inner is None:
                self.add_name(found.where, rest[0], weak=weak)
                found = self._modules.resolve(found.where, rest[:1])
            else:
                found = Meaning("module", inner)
            rest.pop(0)
        if found is not None and found.kind == "module" and not is_import:
            self.add_whole_module(found.where, weak=weak)

    def _follow_import(self, key: str, unit: Unit, imported: Imported, *, weak: bool) -> None:
        full = self._modules.full_name(key, imported)
        source = self._modules.module(full)
        inner = None
        if imported.name:
            inner = self._modules.submodule(source, imported.name) if source else None
            inner = inner or (None if source else self._modules.module(f"{full}.{imported.name}"))
        target = inner or source
        if target is None:
            self.add_package(full, imported.name, (key, imported.line), guarded=imported.guarded, weak=weak)
            return
        self.units.setdefault(target, {})
        if imported.at_import and not imported.guarded and not weak:
            self.eager.add(target)
        if imported.name == "*":
            self.add_whole_module(target, weak=weak)
        elif imported.name and inner is None:
            if not (weak or imported.guarded):
                check_source(f"{full}.{imported.name}", (key, imported.line), self._modules.local)
            self.add_name(target, imported.name, weak=weak)
        elif not imported.at_import or not unit.is_import:
            self._follow_module_in_body(unit, imported, target, weak=weak)

    def _follow_module_in_body(self, unit: Unit, imported: Imported, target: str, *, weak: bool) -> None:
        """Add what is used of a module that is imported inside a statement, such as a function."""
        bound = imported.bound
        if imported.name is None and bound == imported.module:
            bound = bound.partition(".")[0]
            target = self._modules.module(bound) or target
        for chain in unit.chains.get(bound, {()}):
            self._walk(Meaning("module", target), chain, weak=weak)

    def _follow_texts(self, key: str, unit: Unit, *, weak: bool) -> None:
        """Add what strings and attributes name, in code that may look it up by its name."""
        texts = unit.strings | unit.words if _looks_up(unit, _ALL_NAMES) else unit.strings
        for text in sorted(texts):
            # Perhaps it is meant otherwise: what can't travel is left out.
            with contextlib.suppress(UnshippableError):
                if text in self._modules.units(key).by_name and not text.startswith("test_"):
                    self.add_name(key, text, weak=weak)
                elif text in unit.strings and _DOTTED.fullmatch(text) is not None:
                    self._follow_dotted_text(text, weak=weak)

    def _follow_dotted_text(self, text: str, *, weak: bool) -> None:
        head, _, tail = text.rpartition(".")
        whole, part = self._modules.module(text), self._modules.module(head) if head else None
        if whole is not None:
            self.add_whole_module(whole, weak=weak)
        elif part is not None:
            self.add_name(part, tail, weak=weak)

    def add_package(
        self,
        full: str,
        name: str | None = None,
        place: Place = ("", 0),
        *,
        guarded: bool = False,
        weak: bool = False,
    ) -> None:
        """Add a module of a package, or a name of it."""
        top = full.partition(".")[0]
        if top in PYTESTS_AND_OURS:
            if not weak and (name is not None or top != "pytest"):  # of the module itself each use is checked
                check_use(full, name)
            return
        if top not in sys.stdlib_module_names:
            dotted = f"{full}.{name}" if name and name != "*" else full
            # A module that is not imported here is one that the program does without.
            guarded = guarded or (bool(place[0]) and not self._modules.is_imported(place[0]))
            if not (weak or guarded):
                check_source(full, place, self._modules.local)
            left_out = weak or (guarded and not is_packaged(full, dotted, self._modules.local))
            (self.optional if left_out else self.required).setdefault(dotted, place)
        if not weak:
            self._packages.add(top)

    def settle(self) -> None:
        """Add the statements that change what was reached, until none is left."""
        if not self.root:
            return
        before = -1
        while before != self._size():
            before = self._size()
            for key in list(self.units):
                for unit in self._modules.units(key).guards:
                    self.add_unit(key, unit)
            self._add_changes(self._effects.near(self.root))
            for key in [each for each in self.units if each != self.root]:  # some are imported in bodies
                self._add_changes(self._effects.near(key, alone=True))

    def _add_changes(self, changes: Changes) -> None:
        for target, statements in changes.items():
            if not self._concerns(target):
                continue
            for key, unit in statements:
                if self._comes_along(target, key, unit):
                    is_setting = target.kind in ("outside", "environment")
                    self.add_unit(key, unit, is_setting=is_setting)
                    self.eager.add(key)

    def _size(self) -> int:
        return len(self._names) + sum(map(len, self.units.values()))

    def _concerns(self, target: Target) -> bool:
        if target.kind == "environment":
            return True
        if target.kind == "outside":
            return target.where in self._packages and target.where not in PYTESTS_AND_OURS
        place = (target.where, target.name)
        if target.kind == "subclasses":
            return place in self._names and (self._looks_for_subclasses() or self._is_told_of_subclasses(*place))
        return place in self._changeable and place not in self.values

    def _comes_along(self, target: Target, key: str, unit: Unit) -> bool:
        if any(name.startswith(("test_", "pytest_")) for name in unit.binds):
            return False
        if target.kind == "environment":
            return unit.uses <= {"os", "environ"}
        if target.kind == "outside":
            reads = unit.words & {*_READS_VARIABLES, *PYTESTS_AND_OURS} or self._constants.reads_files(key, unit)
            return not reads
        return True

    def _looks_for_subclasses(self) -> bool:
        return any("__subclasses__" in each.unit.words for units in self.units.values() for each in units.values())

    def _is_told_of_subclasses(self, key: str, name: str) -> bool:
        kind = self._modules.scope(key).get(name)
        if not isinstance(kind, type):
            return False
        hooks = any(
            "__init_subclass__" in vars(each) and self._modules.module(each.__module__) for each in kind.__mro__
        )
        return hooks or self._modules.module(type(kind).__module__) is not None

    def is_changed_there(self, key: str, unit: Unit) -> bool:
        """Whether a statement that comes along changes what another one binds."""
        return any(Target("name", key, name) in self._effects.near(self.root) for name in unit.binds)

    def statements(self) -> Iterator[tuple[str, Needed]]:
        """Yield all units with their modules, in the order of the files."""
        for key in sorted(self.units):
            if not is_package_without_file(key):
                yield from ((key, each) for each in self.in_order(key))

    def in_order(self, key: str) -> list[Needed]:
        """Return the units of a module in the order of its file."""
        places = sorted(self.units[key], key=lambda each: (each[:2], str(each[2])))
        return [self.units[key][place] for place in places]

    def note_content(self, what: str, digest: str) -> None:
        """Note the content of a closure or of a pickled value; several can have one name."""
        known = self.closures.get(what)
        self.closures[what] = digest if known is None else digest_of(known, digest)


def _looks_up(unit: Unit, words: set[str]) -> bool:
    """Whether code says one of these words; ``modules`` only beside ``sys``, for models have some too."""
    found = unit.words & words
    return bool(found - {"modules"}) or ("modules" in found and "sys" in unit.words)
