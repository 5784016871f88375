"""Modal's prices: what a second of a container costs.

They are those of the list, without what a workspace has been granted. Modal bills CPU and memory as they are used where
that is more than what was requested, which is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_modal.batch.calls import Batch
from pytest_modal.batch.cost import Cost, Used
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.timings import Timings
from pytest_modal.declare.gpus import wrong_gpu

AS_OF = "September 2026"
# Dollars a second; https://modal.com/pricing
GPU_SECOND = {
    "T4": 0.000164,
    "L4": 0.000222,
    "A10": 0.000306,
    "L40S": 0.000542,
    "A100-40GB": 0.000583,
    "A100-80GB": 0.000694,
    "RTX-PRO-6000": 0.000842,
    "H100": 0.001097,
    "H200": 0.001261,
    "B200": 0.001736,
    "B300": 0.001972,
}
CPU, MEMORY = "CPU", "MEMORY"
CORE_SECOND, GIB_SECOND = 0.0000131, 0.00000222
LEAST_CORES, LEAST_MIB = 0.125, 128
# What is multiplied by what is declared; https://modal.com/docs/guide/region-selection
BROAD_REGION, NARROW_REGION, NONPREEMPTIBLE = 1.5, 1.75, 3.0

# Other names of the same GPU.
_SAME = {"A10G": "A10", "A100": "A100-40GB", "H100!": "H100", "B200+": "B200"}
# A better GPU that Modal may give in place of one, at the price of that one; https://modal.com/docs/guide/gpu
_INSTEAD_OF = {"A100-80GB": "A100-40GB", "H200": "H100", "B300": "B200"}
# How drivers name them.
_DEVICES = [
    (r"A100.*80GB", "A100-80GB"),
    (r"A100\b", "A100-40GB"),
    (r"RTX PRO 6000\b", "RTX-PRO-6000"),
    *((rf"{name}\b", name) for name in ("B300", "B200", "H200", "H100", "L40S", "L4", "T4")),
    (r"A10G?\b", "A10"),
]
_PRICE = re.compile(r"\$?(?P<dollars>\d+(?:\.\d*)?|\.\d+)\s*/\s*(?P<unit>s|h)")


class PriceError(ValueError):
    """A line of ``modal_prices`` is not valid: what is wrong, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


@dataclass(frozen=True)
class Prices:
    """Prices of a project.

    Attributes
    ----------
    own : tuple of pairs
        Dollars a second that the project knows better, by name.
    """

    own: tuple[tuple[str, float], ...] = ()

    @property
    def source(self) -> str:
        """Whose prices they are, and of when."""
        return f"list prices of {AS_OF}" if not self.own else f"prices of modal_prices and, of the list, {AS_OF}"

    def of(self, environment: Environment, device: str = "") -> tuple[str, float | None]:
        """Return the GPU of a container that is paid for, and dollars a second for all of the container.

        Parameters
        ----------
        device : str
            The name of the GPU that it was given; without it, the first that the environment declares counts.

        Returns
        -------
        tuple of str and float or None
            None where no price is known.
        """
        gpu = billed(environment, device)
        kind, _, number = gpu.partition(":")
        prices = {**GPU_SECOND, CPU: CORE_SECOND, MEMORY: GIB_SECOND, **dict(self.own)}
        if kind and kind not in prices:
            return gpu, None
        dollars = int(number or 1) * prices[kind] if kind else 0.0
        dollars += max(LEAST_CORES, _requested(environment.cpu)) * prices[CPU]
        dollars += max(LEAST_MIB, _requested(environment.memory)) / 1024 * prices[MEMORY]
        return gpu, dollars * _multiplier(environment)

    def estimate(self, batch: Batch, timings: Timings) -> Cost:
        """Return what a batch will cost on Modal, by the timings of earlier runs."""
        used, unknown = [], []
        for environment in batch.environments:
            seconds = timings.of(batch, environment)
            gpu, dollars = self.of(environment)
            if seconds is None:
                unknown.append(gpu)
            else:
                price = None if dollars is None else seconds * dollars
                used.append(Used("", str(environment), gpu, seconds, price))
        return Cost(tuple(used), self.source, tuple(dict.fromkeys(unknown)))


def billed(environment: Environment, device: str = "") -> str:
    """Return the GPU that is paid for, with the number of several: of those declared, the one that was given."""
    declared = [environment.gpu] if isinstance(environment.gpu, str) else [*(environment.gpu or ())]
    if not declared:
        return ""
    numbers: dict[str, str] = {}
    for each in declared:
        kind, _, number = each.upper().partition(":")
        # What ends in "!" is newer than the list of GPUs.
        numbers.setdefault(_SAME.get(kind, kind.removesuffix("!")), number)
    given = kind_of(device)
    kind = next((each for each in (given, _INSTEAD_OF.get(given, "")) if each in numbers), "")
    if not kind:
        first = next(iter(numbers))
        kind, numbers = (given, {given: numbers[first]}) if given else (first, numbers)
    number = numbers[kind]
    return f"{kind}:{number}" if number not in ("", "1") else kind


def kind_of(device: str) -> str:
    """Return Modal's name of a GPU, from that which its driver reports; empty for an unknown one."""
    return next((kind for pattern, kind in _DEVICES if re.search(rf"\b{pattern}", device)), "")


def _requested(amount: float | tuple[float, float] | None) -> float:
    return amount[0] if isinstance(amount, tuple) else amount or 0.0


def _multiplier(environment: Environment) -> float:
    regions = [environment.region] if isinstance(environment.region, str) else environment.region or ()
    # The names of broad regions are those of continents and countries: "us", and not "us-east".
    factors = [NARROW_REGION if "-" in region else BROAD_REGION for region in regions]
    return min(factors, default=1.0) * (NONPREEMPTIBLE if dict(environment.modal).get("nonpreemptible") else 1.0)


def read_prices(lines: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """Return the dollars a second of ``modal_prices`` by name, from lines such as ``H100 = 3.20/h``.

    Raises
    ------
    PriceError
        One is not valid.
    """
    own = {}
    for line in lines:
        name, _, price = (part.strip() for part in line.partition("="))
        match = _PRICE.fullmatch(price)
        if not name or match is None:
            raise PriceError(line, "write dollars an hour or a second, one price a line: H100 = 3.20/h")
        kind = name.upper()
        if kind not in (CPU, MEMORY):
            if (wrong := wrong_gpu(name)) is not None or ":" in name:
                remedy = wrong[1] if wrong else "write the price of one"
                raise PriceError(line, f"{remedy}; or {CPU} for a core and {MEMORY} for a GiB".lstrip("; "))
            kind = _SAME.get(kind, kind.removesuffix("!"))
        own[kind] = float(match["dollars"]) / (3600 if match["unit"] == "h" else 1)
    return tuple(sorted(own.items()))
