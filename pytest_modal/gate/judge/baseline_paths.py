"""Names of gates, and the files of their baselines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pytest_modal.wording import three_parts

DIRECTORY, SUFFIX, OUTPUTS = "baselines", ".jsonl", ".outputs.jsonl"
_SAFE = r"[A-Za-z0-9._+=,@()\[\]-]"


def check_gate_name(gate: object, where: str) -> str:
    """Return the name of a gate if it can name a file everywhere.

    Raises
    ------
    ValueError
        Anything else.
    """
    if not isinstance(gate, str) or not gate:
        raise ValueError(three_parts(f"a gate can't be named {gate!r}", where, 'use a non-empty str, such as "gsm8k"'))
    if not is_gate_name(gate):
        what = f"a gate can't be named {gate!r}: its baseline is a file of that name"
        raise ValueError(three_parts(what, where, f"use letters, digits and ._+=,@()[]-, such as {_safe(gate)!r}"))
    return gate


def is_gate_name(name: str) -> bool:
    """Whether a text can be the name of a file everywhere, and is not that of a gate's other files."""
    return _safe(name) == name


def _safe(name: str) -> str:
    safe = re.sub(rf"(?!{_SAFE}).", "-", name, flags=re.DOTALL)[:100].strip(".-") or "gate"
    safe = re.sub(r"\.outputs$", "-outputs", safe, flags=re.IGNORECASE)
    return f"{safe}-gate" if re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", safe, re.IGNORECASE) else safe


def baseline_path(directory: Path, gate: str, gpu: str | None = None) -> Path:
    """Return the file of a gate's baseline; `gpu` for the separate one of that device.

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
    """Return the file with the outputs of the model, beside the baseline `path`."""
    return path.with_name(path.name.removesuffix(SUFFIX) + OUTPUTS)


def baselines_beside(path: Path) -> Sequence[Path]:
    """Return the other baselines in the directory of `path`."""
    found = sorted(path.parent.glob(f"*{SUFFIX}")) if path.parent.is_dir() else []
    return [each for each in found if each != path and not each.name.endswith(OUTPUTS)]
