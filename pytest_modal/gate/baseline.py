"""A baseline: what is kept of an accepted evaluation, and where its files are. `jsonl` writes and reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pytest_modal.gate.errors import BaselineError, count, some, three_parts
from pytest_modal.gate.intervals import Floats
from pytest_modal.gate.rows import Evaluation, dataset_digest

DIRECTORY, SUFFIX, OUTPUTS = "baselines", ".jsonl", ".outputs.jsonl"
_SAFE = r"[A-Za-z0-9._+=,@()\[\]-]"


@dataclass(frozen=True)
class Anchor:
    """The accuracy first recorded, or last accepted with a reason: `k` rounds on `date`."""

    k: int
    accuracy: float
    date: str


@dataclass(frozen=True)
class Entry:
    """One recording in the history of a baseline.

    Attributes
    ----------
    reason : str or None
        Why a regression was accepted.
    anchor : Anchor or None
        The anchor that this acceptance replaced.
    items : str or None
        What changed in the set of items.
    """

    date: str
    accuracy: float
    n: int
    k: int
    reason: str | None = None
    anchor: Anchor | None = None
    items: str | None = None


@dataclass(frozen=True, eq=False)
class Baseline:
    """An accepted evaluation: per item, how often it was right in `k` rounds; sorted by id.

    Attributes
    ----------
    sums : array, shape (n,)
        Right answers, or the sum of scores, over `k` rounds.
    digests : tuple of str
        Digest of each input; empty where there was none.
    outputs : tuple of (str or None)
        What the model said.
    anchor_sums : array, shape (n,)
        As `sums`, over the rounds of `anchor`; NaN for items that the anchor has not seen.
    speed : float or None
        Items per second.
    rounds : tuple of str
        Names of the rounds, for people.
    """

    gate: str
    ids: tuple[str, ...]
    sums: Floats
    k: int
    digests: tuple[str, ...]
    outputs: tuple[str | None, ...]
    anchor: Anchor
    anchor_sums: Floats
    history: tuple[Entry, ...]
    model: str | None = None
    gpu: str | None = None
    speed: float | None = None
    rounds: tuple[str, ...] = ()

    @property
    def accuracy(self) -> float:
        """Share of right answers, or mean score, over all items and rounds."""
        return float(self.sums.sum() / (len(self.ids) * self.k))

    @property
    def dataset(self) -> str:
        """Digest of the items: their ids and inputs."""
        return dataset_digest(self.ids, self.digests)


@dataclass(frozen=True, eq=False)
class Alignment:
    """Which items of a baseline and of an evaluation are the same.

    Attributes
    ----------
    then, now : array of int
        Positions of the same items in the baseline and in the evaluation.
    missing, new, changed : tuple of str
        Ids only in the baseline; only in the evaluation; in both, with another input.
    """

    then: np.ndarray[tuple[int], np.dtype[np.intp]]
    now: np.ndarray[tuple[int], np.dtype[np.intp]]
    missing: tuple[str, ...]
    new: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def summary(self) -> str | None:
        """What differs, in words."""
        parts = {"removed": self.missing, "added": self.new, "changed inputs of": self.changed}
        words = [f"{word} {len(ids):,}" for word, ids in parts.items() if ids]
        return f"{', '.join(words)} items" if words else None


def align(baseline: Baseline, now: Evaluation) -> Alignment:
    """Find the same items: equal ids, and equal inputs where the baseline has one."""
    position = {each: index for index, each in enumerate(now.ids)}
    pairs, missing, changed = [], [], []
    for index, (each, digest) in enumerate(zip(baseline.ids, baseline.digests, strict=True)):
        other = position.pop(each, None)
        if other is None:
            missing.append(each)
        elif digest and digest != now.digests[other]:
            changed.append(each)
        else:
            pairs.append((index, other))
    indices = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return Alignment(indices[:, 0], indices[:, 1], tuple(missing), tuple(position), tuple(changed))


def check_items(baseline: Baseline, now: Evaluation, alignment: Alignment, where: str, test: str) -> None:
    """Refuse to compare other items than those of the baseline.

    Raises
    ------
    BaselineError
        Items of the baseline are missing, or have other inputs.
    """
    again = f"{update_command(test)} (in replay mode too, with --modal-mode=replay)"
    if alignment.missing:
        what = f"gate {baseline.gate!r}: {count(len(alignment.missing), 'item')} of the baseline not in the rows"
        remedy = f"give all items to the gate; if they were removed on purpose, {again}"
        raise BaselineError(three_parts(f"{what}: {some(alignment.missing)}", where, remedy))
    if not alignment.changed:
        return
    if not any(now.digests):
        what = f"gate {baseline.gate!r}: the rows have no inputs, but those of the baseline had"
        remedy = f"keep the input column (input=...), or record without it: {again}"
        raise BaselineError(three_parts(what, where, remedy))
    what = f"gate {baseline.gate!r}: {count(len(alignment.changed), 'item')} with another input than in the baseline"
    remedy = f"give a changed item an id of its own, or, if the change is meant, {again}"
    raise BaselineError(three_parts(f"{what}: {some(alignment.changed)}", where, remedy))


def update_command(test: str) -> str:
    """Return the command that records the baselines of a test."""
    return f'pytest "{test}" --modal-update-baselines'


# Where baselines are.


def check_gate_name(gate: object, where: str) -> str:
    """Return the name of a gate if it can name a file everywhere.

    Raises
    ------
    ValueError
        Anything else.
    """
    if not isinstance(gate, str) or not gate:
        raise ValueError(three_parts(f"a gate can't be named {gate!r}", where, 'give a text, such as "gsm8k"'))
    if not is_gate_name(gate):
        what = f"{gate!r} can't name a gate: its baseline is a file of that name"
        raise ValueError(three_parts(what, where, f"use letters, digits and ._+=,@()[]-, such as {_safe(gate)!r}"))
    return gate


def is_gate_name(name: str) -> bool:
    """Whether a text can be the name of a file everywhere, and none that a gate's other files have."""
    return _safe(name) == name


def _safe(name: str) -> str:
    safe = re.sub(rf"(?!{_SAFE}).", "-", name, flags=re.DOTALL)[:100].strip(".-") or "gate"
    safe = re.sub(r"\.outputs$", "-outputs", safe, flags=re.IGNORECASE)
    return f"{safe}-gate" if re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", safe, re.IGNORECASE) else safe


def baseline_path(directory: Path, gate: str, gpu: str | None = None) -> Path:
    """Return the file of a gate's baseline; `gpu` for one of its own for that device.

    Parameters
    ----------
    directory : Path
        That of the test's file.
    """
    name = gate if gpu is None else f"{gate}.{_safe(gpu)}"
    return directory / DIRECTORY / f"{name}{SUFFIX}"


def find_baseline(directory: Path, gate: str, gpu: str | None = None) -> Path | None:
    """Return the file to compare with: that of this device where it exists, else the general one; None without."""
    candidates = [baseline_path(directory, gate, gpu)] if gpu is not None else []
    candidates.append(baseline_path(directory, gate))
    return next((path for path in candidates if path.exists()), None)


def outputs_path(path: Path) -> Path:
    """Return the file with what the model said, beside the baseline `path`."""
    return path.with_name(path.name.removesuffix(SUFFIX) + OUTPUTS)


def baselines_beside(path: Path) -> Sequence[Path]:
    """Return the other baselines in the directory of `path`."""
    found = sorted(path.parent.glob(f"*{SUFFIX}")) if path.parent.is_dir() else []
    return [each for each in found if each != path and not each.name.endswith(OUTPUTS)]
