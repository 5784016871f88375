"""Settings of a run, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_modal.declare.facts import Facts

REPORT = Path("report.html")  # the page of a run, below the output directory


@dataclass(frozen=True)
class GateSettings:
    """Settings of accuracy gates and their baselines.

    Attributes
    ----------
    confirm : int
        Fresh rounds that a suspicious gate gets.
    rounds : int
        Rounds of a recorded baseline.
    rounds_are_set : bool
        Whether the project says how many.
    strict : bool
        Whether a gate that changed, or is inconclusive, fails.
    ci : bool
        Whether a missing baseline fails.
    per_gpu : bool
        Whether each device has its own baselines.
    updating : bool
        Whether baselines are recorded.
    adding : bool
        Whether the round of this run is added to baselines.
    accept : str or None
        Why regressions are accepted.
    """

    confirm: int = 0
    rounds: int = 5
    rounds_are_set: bool = False
    strict: bool = False
    ci: bool = False
    per_gpu: bool = False
    updating: bool = False
    adding: bool = False
    accept: str | None = None


@dataclass(frozen=True)
class SessionOptions:
    """Settings of a session on Modal.

    Attributes
    ----------
    acquire_timeout, startup_timeout, connection_timeout : float
        Seconds: without a GPU, for a container to start, without an answer from Modal.
    cache_volume : str
        Name of the Volume that keeps what the Hugging Face hub sent; empty for none.
    max_gpus : int
        How many GPUs a run uses at once, unless one environment alone has more.
    secret_variables : tuple of str
        Names or patterns of environment variables whose values are secret, and with a "!" of those that are not.
    facts : Facts
        What is known of Modal.
    max_cost : float or None
        Dollars that a run may cost.
    prices : tuple of pairs
        Dollars a second that the project knows better than the list of `declare.prices`, by name.
    """

    acquire_timeout: float = 900.0
    startup_timeout: float = 900.0
    connection_timeout: float = 60.0
    cache_volume: str = "pytest-modal-huggingface"
    max_gpus: int = 10
    secret_variables: tuple[str, ...] = ()
    facts: Facts = field(default_factory=Facts)
    max_cost: float | None = None
    prices: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class LocalOptions:
    """Settings of local mock mode.

    Attributes
    ----------
    isolation : bool
        Whether functions have only the packages, files and environment variables that a container would have.
    variables : tuple of str
        Names or patterns of environment variables of this machine that they have all the same.
    """

    isolation: bool = True
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """Settings of GPU tests in this run of pytest.

    Attributes
    ----------
    mode : str
        One of `MODES`.
    environment : dict
        The project's settings for every environment.
    session : SessionOptions
        Settings of a session on Modal.
    gates : GateSettings
        Settings of accuracy gates and their baselines.
    resume : bool
        Whether results of earlier runs are reused.
    record, prune : bool
        Whether recordings are written, and those that nothing uses deleted.
    rules : tuple of str
        Lines of the ini ``modal_rules``: which rules are errors, warnings or off.
    inline : bool
        Whether the batch runs in pytest's own process, for debugging.
    stream : bool
        Whether what functions print is shown while they run.
    local : LocalOptions
        Settings of local mock mode.
    resume_same : bool
        Whether results that other versions of packages have made are computed again.
    runs : int
        How many records of runs are kept.
    report : Path or None
        Where the page of the run is written: absolute, or below the output directory; None for no page.
    """

    mode: str
    environment: dict[str, Any]
    session: SessionOptions = field(default_factory=SessionOptions)
    gates: GateSettings = field(default_factory=GateSettings)
    resume: bool = False
    record: bool = False
    prune: bool = False
    rules: tuple[str, ...] = ()
    inline: bool = False
    stream: bool = False
    local: LocalOptions = field(default_factory=LocalOptions)
    resume_same: bool = False
    runs: int = 50
    report: Path | None = REPORT


SETTINGS = pytest.StashKey[Settings]()


def settings_of(config: pytest.Config) -> Settings:
    """Return the settings of the run."""
    return config.stash[SETTINGS]
