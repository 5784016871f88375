"""Demands of a test on its gate, and what the run decides for all of its gates."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_modal.wording import three_parts

LEVEL = 0.01  # of all gates of a run together: how often an unchanged model may fail one of them
ONE_SIDED = 0.05  # at each end of a 90% interval
HONEST = 0.09  # of all gates of a run together: how often a change that makes nothing worse may fail one of them
AGAINST_ANCHOR = 0.10  # at each end of the interval of a change since the anchor
SUSPICIOUS = 0.12  # a p-value that causes fresh rounds
REPLICATED = 0.02  # a p-value that fresh rounds alone must reach
TOLERABLE = 0.03  # a drop that a gate has to speak of, decided or not
MIN_DROP = 0.005


@dataclass(frozen=True)
class Demands:
    """What a test demands of its gate.

    Attributes
    ----------
    min_accuracy : float or None
        The accuracy must not be below, with and without a baseline.
    must_pass : tuple of str
        Items that must be right in most rounds.
    min_drop : float
        Smaller drops never fail, however sure they are.
    margin : float or None
        Against a reference: a drop that must be ruled out.
    higher_is_better : bool
        Whether a higher score is better.
    """

    min_accuracy: float | None = None
    must_pass: tuple[str, ...] = ()
    min_drop: float = MIN_DROP
    margin: float | None = None
    higher_is_better: bool = True

    @property
    def sign(self) -> int:
        """What turns a difference of scores into a gain."""
        return 1 if self.higher_is_better else -1


@dataclass(frozen=True)
class Policy:
    """What the run decides for all of its gates.

    Attributes
    ----------
    gates : int
        Number of gates of the project: the more, the stricter is each.
    confirm : int
        Fresh rounds for a suspicious gate; 0 for none.
    strict : bool
        Whether a gate that changed, or is inconclusive, fails.
    ci : bool
        Whether a missing baseline fails.
    updating : bool
        Whether baselines are being recorded: then items may differ from the baseline's.
    adding : bool
        Whether the round of this run is added to the baseline.
    accept : str or None
        Why regressions are accepted.
    """

    gates: int = 1
    confirm: int = 0
    strict: bool = False
    ci: bool = False
    updating: bool = False
    adding: bool = False
    accept: str | None = None

    @property
    def level(self) -> float:
        """The p-value at which a gate fails."""
        return LEVEL / max(1, self.gates)

    @property
    def error(self) -> float:
        """The probability at each end of the interval that a gate decides with, and prints.

        90% intervals of ten gates would call an honest change worse in 40% of the runs. With .09 shared among the
        gates, and .01 for the joint test, it is 10%.
        """
        return min(ONE_SIDED, HONEST / max(1, self.gates))


@dataclass(frozen=True)
class Origin:
    """Where this evaluation was made: device, revision of the model, app, packages; None if unknown."""

    gpu: str | None = None
    model: str | None = None
    app: str | None = None
    packages: tuple[str, ...] = ()


def check_demands(
    gate: str,
    where: str,
    *,
    min_accuracy: object = None,
    must_pass: object = (),
    min_drop: object = None,
    score: str | None = None,
    higher_is_better: object = True,
    reference: bool = False,
    margin: object = None,
) -> Demands:
    """Check what a test demands.

    Parameters
    ----------
    score : str, optional
        The column of scores, in whose units `min_drop` and `margin` are then.
    reference : bool
        Whether there is another arm to compare with.

    Raises
    ------
    ValueError
        A number outside its range, ids that are not a list, demands that contradict each other.
    """

    def error(what: str, remedy: str) -> ValueError:
        return ValueError(three_parts(f"accuracy_gate {gate!r}: {what}", where, remedy))

    def within(value: object, most: float) -> bool:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and bool(0 <= float(value) <= most)

    most, unit = (
        (1.0, "[0, 1]") if score is None else (float(math.nextafter(math.inf, 0)), "units of the score, from 0")
    )
    if min_accuracy is not None and score is not None:
        raise error(f"min_accuracy={min_accuracy!r} is a share of right answers, but score={score!r}", "remove it")
    if min_accuracy is not None and not within(min_accuracy, 1):
        raise error(f"min_accuracy={min_accuracy!r} is not in [0, 1]", "set it to a share of the items, such as 0.75")
    if score is not None and min_drop is None:
        what = f"score={score!r} has no min_drop: which change of a score matters can't be known here"
        raise error(what, "set min_drop= to the smallest drop that matters, in units of the score")
    if min_drop is not None and not within(min_drop, most):
        raise error(f"min_drop={min_drop!r} is not in {unit}", "set it to a share of the items, such as 0.005")
    if isinstance(must_pass, str) or not isinstance(must_pass, Sequence | set | frozenset):
        raise error(f"must_pass={must_pass!r} is not a list", f"set it to a list of ids, such as [{must_pass!r}]")
    if score is not None and must_pass:
        raise error(f"must_pass names items that must be right, but score={score!r} has no right ones", "remove it")
    if not isinstance(higher_is_better, bool):
        raise error(f"higher_is_better={higher_is_better!r} is not a bool", "set it to True or False")
    if not higher_is_better and score is None:
        raise error("higher_is_better=False needs a score", 'name the column of errors: score="nll"')
    if margin is not None and not reference:
        what = f"margin={margin!r} without a reference: a margin bounds the difference of two arms of one run"
        raise error(what, "pass the rows of the other arm, reference=..., or use min_drop=")
    if margin is not None and not (within(margin, most) and margin):
        raise error(f"margin={margin!r} is not in {unit}, without 0", "set it to the largest drop that is tolerable")
    least: Any = min_accuracy
    drop: Any = MIN_DROP if min_drop is None else min_drop
    limit: Any = margin
    return Demands(
        None if least is None else float(least),
        tuple(sorted(map(str, must_pass))),
        float(drop),
        None if limit is None else float(limit),
        higher_is_better,
    )
