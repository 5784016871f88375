"""Costs of containers as plain data: for the summary, the plan and records of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_modal.batch.quantities import duration


@dataclass(frozen=True)
class Used:
    """What one container used.

    Attributes
    ----------
    container : str
        Its id; empty where it is an estimate.
    environment : str
        Where it ran, as people read it.
    gpu : str
        The GPU that is paid for, with the number of several, as ``"H100:2"``; empty without one.
    seconds : float
        From its start to its end, the time in which it waited for calls included.
    dollars : float or None
        None where no price is known.
    started, ended : float or None
        Seconds since 1970, by the clock of this machine.
    """

    container: str
    environment: str
    gpu: str
    seconds: float
    dollars: float | None
    started: float | None = None
    ended: float | None = None


@dataclass(frozen=True)
class Cost:
    """What a run costs, about.

    Attributes
    ----------
    containers : tuple of Used
        In the order of their start.
    prices : str
        Whose prices they are, and of when.
    unknown : tuple of str
        Of an estimate: the GPUs for which seconds are not known, as in `Used`.
    """

    containers: tuple[Used, ...]
    prices: str
    unknown: tuple[str, ...] = ()

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Cost:
        """Return the cost from what `dataclasses.asdict` makes of it."""
        return cls(tuple(Used(**each) for each in kept["containers"]), kept["prices"], tuple(kept["unknown"]))

    @property
    def dollars(self) -> float:
        """Dollars, of what has a price."""
        return sum(each.dollars or 0.0 for each in self.containers)

    @property
    def is_complete(self) -> bool:
        """Whether all of it is known and has a price."""
        return not self.unknown and all(each.dollars is not None for each in self.containers)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.containers + other.containers, self.prices, self.unknown + other.unknown)

    @property
    def amount(self) -> str:
        """How much it is, as people read it."""
        if all(each.dollars is None for each in self.containers):
            return "unknown"
        return about(self.dollars, complete=self.is_complete)

    @property
    def parts(self) -> str:
        """What it is for: seconds by GPU."""
        by_gpu: dict[str, list[Used]] = {}
        for each in self.containers:
            by_gpu.setdefault(each.gpu, []).append(each)
        parts = [_seconds(gpu, used) for gpu, used in by_gpu.items()]
        parts += [f"{_name(gpu)} unknown" for gpu in self.unknown]
        return ", ".join(parts)

    def __str__(self) -> str:
        return f"{self.amount}: {self.parts}"


def _seconds(gpu: str, used: Sequence[Used]) -> str:
    where = f" in {len(used):,} containers" if len(used) > 1 else ""
    price = "" if all(each.dollars is not None for each in used) else " (no price is known, see modal_prices)"
    return f"{_name(gpu)} {duration(sum(each.seconds for each in used))}{where}{price}"


def _name(gpu: str) -> str:
    kind, _, number = gpu.partition(":")
    return f"{number} x {kind}" if number else kind or "CPU"


def about(dollars: float, *, complete: bool) -> str:
    """Return an amount of which all is known, or only a part, as people read it."""
    return f"{'about' if complete else 'at least'} {money(dollars)}"


def money(dollars: float) -> str:
    """Return an amount as people read it."""
    # Two digits say about how much it is.
    return f"${dollars:,.{2 if dollars >= 0.1 else 3 if dollars >= 0.01 else 4}f}"
