"""Requirements of images: the distributions of what is sent, pinned to the versions installed on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_modal.batch.calls import Batch, Data, FromCall, Node
from pytest_modal.batch.environment import Environment
from pytest_modal.code.companions import with_companions
from pytest_modal.code.distributions import distribution_of, is_standard, providers
from pytest_modal.code.inventory import inventory, is_importable, is_made_at_run_time, place_of
from pytest_modal.code.pins import pin
from pytest_modal.remote.installed import canonical
from pytest_modal.wording import first_few, three_parts

# Brought by the worker, or by Modal's own runtime.
_THERE = {"cloudpickle", "modal", "pytest_modal"}


@dataclass(frozen=True)
class Requirements:
    """What an image installs.

    Attributes
    ----------
    packages : tuple of str
        Requirements, sorted; ``name==version`` where the version is known.
    notes : tuple of str
        What could not be pinned, and what is left out, and why.
    """

    packages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def requirements_of(batch: Batch, environment: Environment) -> Requirements:
    """Return what the image of an environment installs for the calls of a batch.

    Packages that were declared are taken as they are, and an image that was declared is left as it is: only
    numpy is added to them, without a version, where the data boundary needs it.
    """
    calls = [call for call in batch.calls if call.environment.key == environment.key]
    nodes: list[Node] = [*calls, *(batch.containers[key] for call in calls for key in call.containers)]
    imports = {name for node in nodes for name in node.imports}
    if _derives(environment):
        needed = imports | ({"numpy"} if _needs_numpy(nodes, imports) else set())
        found = derive(needed, environment.local_packages, {word for node in nodes for word in node.words})
        return Requirements(found.packages, (*found.notes, *_left_out(nodes, imports)))
    declared = environment.packages or ()
    if _needs_numpy(nodes, imports) and not any(distribution_of(name) == "numpy" for name in declared):
        return Requirements((*declared, "numpy"))
    return Requirements(declared)


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
    names: dict[str, str] = {}
    for module in _of_packages(imports, local_packages):
        name = _distribution(module)
        if name is not None:
            names[canonical(name)] = name
    more = with_companions(names, words, lambda name: inventory().version(name) is not None)
    names |= {name: name for name in more}
    pins = {name: pin(name) for name in names.values()}
    notes = {each.note for each in pins.values() if each.note}
    notes |= {f"{name} is left out: it {each.refused}" for name, each in pins.items() if each.refused}
    packages = {each.requirement for each in pins.values() if each.requirement}
    return Requirements(tuple(sorted(packages)), tuple(sorted(notes)))


def _of_packages(imports: Iterable[str], local_packages: tuple[str, ...]) -> Iterator[str]:
    """Yield the modules that an image has to have: not Python's own, not those that are sent."""
    for module in imports:
        top = module.partition(".")[0]
        is_sent = any(module == each or module.startswith(f"{each}.") for each in local_packages)
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
    """Return why no image can be derived for a function: it imports what it can't install; None if one can."""
    if not _derives(node.environment):
        return None
    function = node.function
    places = {part.name: f"{part.path}:{part.line}" for part in function.travels if part.how == "package" and part.path}
    for module in sorted(_of_packages(node.imports, node.environment.local_packages)):
        name, top = _distribution(module), module.partition(".")[0]
        shown = module if inventory().owner(top) and name is None else top
        what, remedy = _unknown(module) if name is None else _of_this_machine(name, top)
        if what:
            where = places.get(module, function.location)
            return three_parts(f"{function.name} imports {shown!r}, {what}", where, remedy)
    return None


def _of_this_machine(name: str, top: str) -> tuple[str, str]:
    """Say why no image can install a distribution; nothing where it can."""
    refused = pin(name).refused
    what = f"but {name} {refused}" if refused else ""
    return what, f'ship it as it is: local_packages=["{top}"]; or name one that an index has: packages=[...]'


def _unknown(module: str) -> tuple[str, str]:
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
            f'ship it as it is: local_packages=["{top}"]; or name the distribution that has it: packages=[...]',
        )
    return (
        "which is not installed on this machine, and which distribution has it is not known",
        "install it on this machine, or name its distribution: packages=[...]; your own code travels if it can be "
        "imported here",
    )
