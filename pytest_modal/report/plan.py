"""The plan of a batch on the screen: what would be sent, and how each part of a function travels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pytest_modal.batch.calls import Batch, Part, ShippedFunction
from pytest_modal.batch.cost import Cost, money
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.quantities import size
from pytest_modal.code.local_packages import sizes_of
from pytest_modal.code.metadata import owners_of
from pytest_modal.code.requirements import requirements_of
from pytest_modal.report.terminal import Screen, announce
from pytest_modal.wording import count, safe

_NO_ESTIMATE = "unknown until these functions have run from this machine"
_HOW = {
    "source": "source",
    "setting": "setting",
    "value": "by value",
    "pickle": "pickled",
    "reference": "reference",
    "package": "package",
    "left out": "left out",
}


def print_plan(
    screen: Screen,
    where: str,
    batch: Batch,
    errors: Sequence[tuple[str, str]],
    notes: Sequence[str] = (),
    *,
    new_images: Collection[str] | None = None,
    cost: Cost | None = None,
    limit: float | None = None,
    verbose: bool = False,
) -> None:
    """Print what would be sent, and notes on it: ``--modal-plan``; with `verbose` what travels of each function.

    Of images it is said which are new, unless none are built; what it would cost, unless that is nothing; and whether
    that is more than the limit in dollars.
    """
    screen.section("modal plan")
    announce(screen, where, batch)
    for environment in batch.environments:
        _print_environment(screen, batch, environment)
        if new_images is not None and environment.image is None:
            new = environment.image_group in new_images
            screen.write_line(f"  image: {'new since the last run on this machine' if new else 'as in an earlier run'}")
        for function in _functions(batch, environment):
            for line in travels(function) if verbose else _pickled(function):
                screen.write_line(f"  {line}")
    gpus = batch.gpus_at_once
    if new_images is not None and gpus:
        screen.write_line("")
        kinds = ", ".join(f"{number:,} x {kind}" for kind, number in gpus.items())
        screen.write_line(f"up to {count(sum(gpus.values()), 'GPU')} at once: {kinds}")
    if cost is not None and batch.calls:
        basis = f"{cost}; by the last run on this machine and {cost.prices}" if cost.containers else _NO_ESTIMATE
        screen.write_line(f"estimated cost: {basis}")
        if limit is not None and cost.dollars > limit:
            screen.write_line(f"above the limit of {money(limit)}: pytest --modal would send nothing", red=True)
    if notes:
        screen.write_line("")
    for note in notes:
        screen.write_line(note)
    for nodeid, error in errors:
        screen.write_line("")
        screen.write_line(f"can't be planned: {nodeid}", red=True)
        for line in safe(error).splitlines():
            screen.write_line(f"  {line}")
    screen.write_line("")
    screen.write_line("Nothing was sent and no test was run.")


def _print_environment(screen: Screen, batch: Batch, environment: Environment) -> None:
    calls = [call for call in batch.calls if call.environment.key == environment.key]
    loads = dict.fromkeys(key for call in calls for key in call.containers)
    screen.write_line("")
    screen.write_line(f"environment: {environment}")
    requirements = requirements_of(batch, environment)
    derived = environment.packages is None and environment.image is None
    packages = ", ".join(requirements.packages) or "none"
    screen.write_line(f"  packages: {packages}{' (derived from the imports)' if derived else ''}")
    if environment.local_packages:
        screen.write_line(f"  local packages: {', '.join(map(_as_it_is, environment.local_packages))}")
    for note in requirements.notes:
        screen.write_line(f"  note: {note}", yellow=True)
    for key in loads:
        container = batch.containers[key]
        sent = size(container.payload_bytes)
        screen.write_line(f"  load {safe(container.label)}  ({container.function.location}, sends {sent})")
    for call in calls:
        screen.write_line(
            f"  call {safe(call.label)}  ({call.function.location}, sends {size(call.payload_bytes)}, "
            f"for {count(len(call.tests), 'test')})"
        )


def _as_it_is(package: str) -> str:
    sizes, owners = sizes_of([package]), owners_of([package])
    metadata = f", and the metadata of {', '.join(owners)}" if owners else ""
    return f"{package} ({count(len(sizes), 'file')}, {size(sum(sizes.values()))}{metadata})"


def _functions(batch: Batch, environment: Environment) -> list[ShippedFunction]:
    calls = [call for call in batch.calls if call.environment.key == environment.key]
    containers = dict.fromkeys(key for call in calls for key in call.containers)
    nodes = [*(batch.containers[key] for key in containers), *calls]
    return list({node.function.key: node.function for node in nodes}.values())


def travels(function: ShippedFunction) -> Iterator[str]:
    """Yield lines that say how each part of a function travels."""
    own, text = size(len(function.payload)), size(sum(len(module.payload) for module in function.modules))
    yield f"what travels of {function.name} ({function.location}): {own}, and {text} of text"
    for how, words in _HOW.items():
        parts = [part for part in function.travels if part.how == how]
        if parts:
            yield f"  {words:<9}  {', '.join(dict.fromkeys(_shown(part) for part in parts))}"


def _shown(part: Part) -> str:
    if part.how in ("value", "pickle"):
        return f"{part.name} ({part.path}:{part.line}, {size(part.size)})"
    return part.name.partition(".")[0] if part.how in ("package", "left out") else part.name


def _pickled(function: ShippedFunction) -> Iterator[str]:
    """Yield what users should know without having to ask: values of this machine that are no data."""
    for part in function.travels:
        if part.how == "pickle":
            yield f"note: {function.name} takes {_shown(part)} along as it is on this machine"
