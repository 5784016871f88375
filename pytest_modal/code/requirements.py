"""Requirements of images: the distributions of what is sent, pinned to the versions installed on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_modal.batch.calls import Batch, Data, FromCall, Node
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.requirements import Requirements
from pytest_modal.code.companions import with_companions
from pytest_modal.code.distributions import HEAVY, distribution_of, is_standard, is_well_known, providers
from pytest_modal.code.inventory import inventory, is_importable, is_made_at_run_time, place_of
from pytest_modal.code.left_behind import left_behind
from pytest_modal.code.local_code import is_below
from pytest_modal.code.local_packages import imports_of
from pytest_modal.code.metadata import Dependency, dependencies_of
from pytest_modal.code.pins import Pin, pin
from pytest_modal.remote.installed import canonical
from pytest_modal.wording import first_few, three_parts

# Brought by the worker, or by Modal's own runtime.
_THERE = {"cloudpickle", "modal", "pytest_modal"}


@dataclass(frozen=True)
class Needs:
    """Distributions that the functions of an image need.

    Attributes
    ----------
    names : frozenset of str
        Their normal names; of an image that is declared, only what has to be added to it.
    notes : tuple of str
        What is left out, and why.
    """

    names: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def requirements_of(batch: Batch, environment: Environment) -> Requirements:
    """Return what the image of an environment installs: as decided for the run, else for the calls of the batch."""
    decided = batch.requirements.get(environment.image_group)
    if decided is not None:
        return decided
    needs = needs_of(nodes_of(batch, environment), environment)
    return install(environment, needs.names, needs.notes)


def nodes_of(batch: Batch, environment: Environment) -> list[Node]:
    """Return the calls and container fixtures that share the image of an environment."""
    calls = [call for call in batch.calls if call.environment.image_group == environment.image_group]
    containers = dict.fromkeys(key for call in calls for key in call.containers)
    return [*calls, *(batch.containers[key] for key in containers)]


def needs_of(nodes: Sequence[Node], environment: Environment) -> Needs:
    """Return what functions need of the image that they share.

    Packages that were declared are taken as they are: only numpy is added to them, where the data boundary needs it.
    An image that was declared is left as it is, unless packages are declared too.
    """
    imports = {name for node in nodes for name in node.imports}
    numpy = {"numpy"} if _needs_numpy(nodes, imports) else set[str]()
    if _derives(environment):
        words = {word for node in nodes for word in node.words}
        names = _distributions(imports | numpy, environment.local_packages, words)
        return Needs(frozenset(names), tuple(_left_out(nodes, imports)))
    declared = {distribution_of(name) for name in environment.packages or ()}
    return Needs(frozenset(numpy - declared) if environment.packages is not None else frozenset())


def install(environment: Environment, names: Iterable[str], notes: Iterable[str] = ()) -> Requirements:
    """Return what an image installs for an environment.

    Parameters
    ----------
    names, notes : iterable of str
        As of `Needs`.
    """
    names = frozenset(names)
    if not _derives(environment):
        return Requirements((*(environment.packages or ()), *sorted(names)), tuple(notes), names)
    declared = dependencies_of(environment.local_packages)
    pins = {name: _pinned(name, declared.get(name)) for name in names}
    said = {each.note for each in pins.values() if each.note}
    said |= {f"{name} is left out: it {each.refused}" for name, each in pins.items() if each.refused}
    if absent := _absent(declared):
        required = first_few(f"{name} (required by {declared[name].by})" for name in sorted(absent))
        said.add(f"left out, because not installed on this machine: {required}")
    packages = {each.requirement for each in pins.values() if each.requirement}
    return Requirements(tuple(sorted(packages)), (*sorted(said), *notes), names)


def can_be_installed(name: str) -> bool:
    """Whether an image can install a distribution that an earlier run has needed, and it is still the same one."""
    if inventory().version(name) is None:
        return is_well_known(name)
    return bool(pin(name).requirement)


def layers(environment: Environment, packages: Sequence[str]) -> list[tuple[str, ...]]:
    """Return what an image installs, layer by layer: the heavy ones first, which other images may share.

    What was declared is one layer, and so is what has no version: its layers would not know of each other.
    """
    if not _derives(environment) or not all("==" in each or " @ " in each for each in packages):
        return [tuple(packages)] if packages else []
    named = {each: distribution_of(each) or "" for each in packages}
    number = {
        each: next((index for index, names in enumerate(HEAVY) if name in names), len(HEAVY))
        for each, name in named.items()
    }
    found = [tuple(each for each in packages if number[each] == index) for index in range(len(HEAVY) + 1)]
    return [each for each in found if each]


def derive(imports: Iterable[str], local_packages: tuple[str, ...] = (), words: Iterable[str] = ()) -> Requirements:
    """Return the requirements of modules. What is no distribution is none: see `refusal`.

    Parameters
    ----------
    imports : iterable of str
        Dotted names as imported; the standard library and local modules may be among them.
    local_packages : tuple of str
        Packages that travel as they are.
    words : iterable of str
        What the code says that asks for more, see `pytest_modal.code.companions`.
    """
    return install(Environment(local_packages=local_packages), _distributions(imports, local_packages, words))


def _distributions(imports: Iterable[str], local_packages: tuple[str, ...], words: Iterable[str]) -> set[str]:
    found = {_distribution(module) for module in _of_packages(imports, local_packages)}
    names = {canonical(name) for name in found if name is not None}
    declared = dependencies_of(local_packages)
    names |= {*declared} - _absent(declared)
    return names | {*with_companions(names, words, lambda name: inventory().version(name) is not None)}


def _absent(declared: Iterable[str]) -> set[str]:
    """Return the distributions that local packages require, that are not here, and that no index is asked for."""
    return {name for name in declared if inventory().version(name) is None and not is_well_known(name)}


def _pinned(name: str, declared: Dependency | None) -> Pin:
    return pin(name) if declared is None else pin(name, declared.extras, declared.versions)


def _derives(environment: Environment) -> bool:
    return environment.packages is None and environment.image is None


def _needs_numpy(nodes: Iterable[Node], imports: set[str]) -> bool:
    # Tensors leave as arrays, and what another call returned may hold some.
    if any(name.partition(".")[0] in ("torch", "numpy") for name in imports):
        return True
    arguments = [each for node in nodes for each in (*node.arguments.values(), node.param)]
    if any(isinstance(each, FromCall) for each in arguments):
        return True
    sent = {each.digest: each for each in arguments if isinstance(each, Data)}
    return any(each.needs_numpy for each in sent.values())


def _left_out(nodes: Iterable[Node], imports: set[str]) -> Iterator[str]:
    """Yield a note on the modules that the code imports if they are there, and that are not installed here."""
    found: dict[str, str] = {}
    tops = {name.partition(".")[0] for name in imports}
    for part in (part for node in nodes for part in node.function.travels if part.how == "left out"):
        top = part.name.partition(".")[0]
        # What only annotations name may be installed here.
        if top not in tops and inventory().owner(part.name) is None:
            found.setdefault(top, f"{top} ({part.path}:{part.line})")
    if found:
        yield f"left out, because not installed on this machine and not needed: {first_few(sorted(found.values()))}"


def _of_packages(imports: Iterable[str], local_packages: tuple[str, ...]) -> Iterator[str]:
    """Yield the modules that an image has to have: not Python's own, not those that are sent."""
    for module in imports:
        top = module.partition(".")[0]
        is_sent = any(is_below(module, each) for each in local_packages)
        if top and not is_sent and not is_standard(top) and top not in _THERE:
            yield module


def _distribution(module: str) -> str | None:
    """Return the distribution of a module: one that is installed here, or a well-known one; None for anything else.

    A name that is only like that of a distribution is never looked up: who registers it would have code run.
    """
    name = inventory().owner(module)
    if name is not None:
        return name
    top, *rest = module.split(".")
    known = providers(f"{top}.{rest[0]}") if rest else ()
    if not is_importable(top):  # from elsewhere: it is another one of the same name
        known = known or providers(top)
    return known[0] if known else None


def refusal(node: Node) -> str | None:
    """Return why no image can be derived for a function: it needs what can't be installed; None if one can."""
    function, local_packages = node.function, node.environment.local_packages
    if node.environment.image is None and (refused := _left_behind(node)) is not None:
        return refused
    if not _derives(node.environment):
        return None
    places = {part.name: f"{part.path}:{part.line}" for part in function.travels if part.how == "package" and part.path}
    for module in sorted(_of_packages(node.imports, local_packages)):
        name, top = _distribution(module), module.partition(".")[0]
        shown = module if inventory().owner(top) and name is None else top
        ship_too = _ship_too(top, local_packages)
        what, remedy = _unknown(module, ship_too) if name is None else _of_this_machine(name, ship_too)
        if what:
            where = places.get(module) or imports_of(local_packages).get(module, function.location)
            return three_parts(f"{function.name} imports {shown!r}, {what}", where, remedy)
    for each in dependencies_of(local_packages).values():
        top = next(iter(inventory().modules(each.name)), each.name)
        what, remedy = _of_this_machine(each.name, _ship_too(top, local_packages))
        if what:
            subject = f"{function.name} ships a package of {each.by}, which requires {each.name!r}"
            return three_parts(f"{subject}, {what}", function.location, remedy)
    return None


def _left_behind(node: Node) -> str | None:
    """Say what of the project the packages that travel as they are need besides; nothing where they need nothing."""
    function, local_packages = node.function, node.environment.local_packages
    as_source = {part.name.rpartition(".")[0] for part in function.travels if part.how == "source"}
    behind = left_behind(local_packages, node.imports, as_source)
    if behind is None:
        return None
    module, whole, where = behind
    what = f"{function.name} ships a package that imports {module!r}, which does not travel with it"
    return three_parts(what, where, _ship_too(whole, [each for each in local_packages if not is_below(each, whole)]))


def _ship_too(top: str, local_packages: Iterable[str]) -> str:
    names = ", ".join(f'"{name}"' for name in (*local_packages, top))
    return f"ship it as it is: local_packages=[{names}]"


def _of_this_machine(name: str, ship_too: str) -> tuple[str, str]:
    """Say why no image can install a distribution; nothing where it can."""
    refused = pin(name).refused
    return f"but {name} {refused}" if refused else "", f"{ship_too}; or name one that an index has: packages=[...]"


def _unknown(module: str, ship_too: str) -> tuple[str, str]:
    top = module.partition(".")[0]
    if is_made_at_run_time(top):
        return (
            "which was made at run time on this machine: no import finds it in a container",
            f"make {top!r} in the function's body, or import a module that has a file",
        )
    place = place_of(top)
    if place is not None:
        return (
            f"which is of no installed distribution, so an image can't install it: it is {place}",
            f"{ship_too}; or name the distribution that has it: packages=[...]",
        )
    return (
        "which is not installed on this machine, and which distribution has it is not known",
        "install it on this machine, or name its distribution: packages=[...]; your own code travels if it can be "
        "imported here",
    )
