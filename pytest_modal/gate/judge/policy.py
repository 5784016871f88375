"""Demands of a test on its gate, and what the run decides for all of its gates."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_modal.wording import three_parts

LEVEL, FAMILY_LEVEL = 0.01, 0.05  # of one gate, and of all gates of the run together
SUSPICIOUS = 0.10  # a p-value that causes fresh rounds
TOLERABLE = 0.03  # a drop that a gate must be able to rule out


@dataclass(frozen=True)
class Demands:
    """What a test demands of its gate.

    Attributes
    ----------
    min_accuracy : float or None
        The accuracy must not be below, with and without a baseline.
    must_pass : tuple of str
        Items that must be right (score 1) in every round.
    min_drop : float
        Smaller drops never fail, however sure they are.
    """

    min_accuracy: float | None = None
    must_pass: tuple[str, ...] = ()
    min_drop: float = 0.005


@dataclass(frozen=True)
class Policy:
    """What the run decides for all of its gates.

    Attributes
    ----------
    gates : int
        Number of selected tests that request a gate: the more, the stricter is each.
    confirm : int
        Fresh rounds for a suspicious gate; 0 for none.
    strict : bool
        Whether an inconclusive gate fails.
    ci : bool
        Whether a missing baseline fails.
    updating : bool
        Whether baselines are being recorded: then items may differ from the baseline's.
    accept : str or None
        Why regressions are accepted.
    """

    gates: int = 1
    confirm: int = 0
    strict: bool = False
    ci: bool = False
    updating: bool = False
    accept: str | None = None

    @property
    def level(self) -> float:
        """The p-value at which a gate fails."""
        return min(LEVEL, FAMILY_LEVEL / max(1, self.gates))


@dataclass(frozen=True)
class Origin:
    """Where this evaluation was made: device, revision of the model, items per second; None if unknown."""

    gpu: str | None = None
    model: str | None = None
    speed: float | None = None


def check_demands(
    gate: str, where: str, *, min_accuracy: object = None, must_pass: object = (), min_drop: object = 0.005
) -> Demands:
    """Check what a test demands.

    Raises
    ------
    ValueError
        A number outside its range, or ids that are not a list.
    """

    def error(what: str, remedy: str) -> ValueError:
        return ValueError(three_parts(f"accuracy_gate {gate!r}: {what}", where, remedy))

    def share(value: object) -> bool:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and bool(0 <= float(value) <= 1)

    if min_accuracy is not None and not share(min_accuracy):
        raise error(f"min_accuracy={min_accuracy!r} is not in [0, 1]", "set it to a share of the items, such as 0.75")
    if not share(min_drop):
        raise error(f"min_drop={min_drop!r} is not in [0, 1]", "set it to a share of the items, such as 0.005")
    if isinstance(must_pass, str) or not isinstance(must_pass, Sequence | set | frozenset):
        raise error(f"must_pass={must_pass!r} is not a list", f"set it to a list of ids, such as [{must_pass!r}]")
    least: Any = min_accuracy
    drop: Any = min_drop
    return Demands(None if least is None else float(least), tuple(sorted(map(str, must_pass))), float(drop))
