"""Options, environment variables and ini values, resolved in one place."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pytest_modal.declare.keywords import DeclarationError, checked_settings
from pytest_modal.declare.settings import GateSettings, SessionOptions, Settings
from pytest_modal.wording import three_parts

MODES = ("local", "modal", "replay", "skip")
MOST_ROUNDS = 100
MAX_SECONDS = 24 * 3600
# What an ini says to have none.
OFF = ("off", "none", "no", "false", "0")
_SECONDS = {
    "acquire_timeout": "Seconds to wait for a GPU on Modal",
    "startup_timeout": "Seconds for a container to start on Modal",
    "connection_timeout": "Seconds without an answer after which the connection to Modal counts as lost",
}


def add_options(parser: pytest.Parser) -> None:
    """Register options and ini values.

    Help texts: one sentence, what it does and not how; the default at the end.
    """
    group = parser.getgroup("modal", "GPU tests on Modal (pytest-modal)")
    group.addoption(
        "--modal",
        dest="modal_mode",
        action="store_const",
        const="modal",
        help="Run GPU functions on Modal, in one session; the same as --modal-mode=modal.",
    )
    group.addoption(
        "--modal-mode",
        dest="modal_mode",
        choices=MODES,
        help="Where GPU functions run: local (a worker process on this machine), modal, replay (nowhere: recorded "
        "data), or skip (default: local).",
    )
    group.addoption(
        "--modal-plan",
        dest="modal_plan",
        action="store_true",
        help="Print what would be sent; send nothing and run no test.",
    )
    group.addoption(
        "--modal-record",
        dest="modal_record",
        action="store_true",
        help="Save the run's data to recordings/ beside the tests, for --modal-mode=replay.",
    )
    group.addoption(
        "--modal-prune-recordings",
        dest="modal_prune_recordings",
        action="store_true",
        help="Delete the recordings that no test uses; needs a run of all tests.",
    )
    group.addoption(
        "--modal-resume",
        dest="modal_resume",
        action="store_true",
        default=None,
        help="Take over the results that earlier runs have left for the same calls; send only the others.",
    )
    group.addoption(
        "--modal-output-dir",
        dest="modal_output_dir",
        metavar="DIR",
        help="Directory for the files that tests write, relative to the rootdir (default: modal_output).",
    )
    group.addoption(
        "--modal-clean",
        dest="modal_clean",
        action="store_true",
        help="After a run of all tests that passes, delete what is in the output directory and no test wrote.",
    )
    group.addoption(
        "--modal-update-baselines",
        dest="modal_update_baselines",
        action="store_true",
        help="Record the baselines of the accuracy gates of tests that pass.",
    )
    group.addoption(
        "--modal-accept-regression",
        dest="modal_accept_regression",
        metavar="REASON",
        help="Record a baseline although the accuracy fell; the reason goes into its history.",
    )
    parser.addini("modal_mode", "Where GPU functions run; see --modal-mode.", type="string", default="")
    parser.addini("modal_resume", "Reuse what earlier runs have left; see --modal-resume.", type="bool", default=False)
    parser.addini("modal_output_dir", "Directory for the files that tests write.", type="string", default="")
    parser.addini(
        "modal_rules", 'Rules that are "error", "warning" or "off", one a line: PM107 = off.', type="linelist"
    )
    parser.addini("modal_gpu", "Default gpu= of GPU functions (default: T4).", type="string", default="")
    parser.addini("modal_timeout", "Default timeout= in seconds (default: 1800).", type="string", default="")
    for name, what in _SECONDS.items():
        parser.addini(
            f"modal_{name}", f"{what} (default: {getattr(SessionOptions, name):g}).", type="string", default=""
        )
    parser.addini(
        "modal_cache_volume",
        f"Volume that keeps downloads from the Hugging Face hub, or off (default: {SessionOptions.cache_volume}).",
        type="string",
        default="",
    )
    confirm = "Fresh rounds for a suspicious accuracy gate (default: 2 with Modal, 0 in local mode)."
    parser.addini("modal_gate_confirm", confirm, type="string", default="")
    parser.addini("modal_gate", "strict: an inconclusive accuracy gate fails.", type="string", default="")
    rounds = f"Rounds of a recorded baseline (default: {GateSettings.rounds})."
    parser.addini("modal_baseline_rounds", rounds, type="string", default="")
    parser.addini("modal_baseline_per_gpu", "Record baselines of each device apart.", type="bool", default=False)


def resolve(config: pytest.Config) -> Settings:
    """Resolve the settings of a run.

    Raises
    ------
    pytest.UsageError
        A value of an environment variable or an ini makes no sense.
    """
    # Precedence: command line, environment variable, ini, default.
    mode = (
        config.getoption("modal_mode") or os.environ.get("PYTEST_MODAL_MODE") or config.getini("modal_mode") or "local"
    )
    if mode not in MODES:
        where, remedy = "PYTEST_MODAL_MODE or the ini modal_mode", f"use one of {', '.join(MODES)}"
        raise pytest.UsageError(three_parts(f"unknown mode {mode!r}", where, remedy))
    given: dict[str, Any] = {}
    if gpu := config.getini("modal_gpu"):
        names = [name.strip() for name in gpu.split(",")]
        given["gpu"] = names[0] if len(names) == 1 else names
    if timeout := config.getini("modal_timeout"):
        given["timeout"] = _seconds("modal_timeout", timeout)
    try:
        environment = checked_settings(given, "ini", str(config.inipath), tuple(given))
    except DeclarationError as error:
        raise pytest.UsageError(str(error)) from None
    if rules := tuple(config.getini("modal_rules")):
        from pytest_modal.checks.levels import LevelError, read_levels

        try:
            read_levels(rules)
        except LevelError as error:
            raise pytest.UsageError(str(error)) from None
    waits = {name: _seconds(f"modal_{name}", said) for name in _SECONDS if (said := config.getini(f"modal_{name}"))}
    volume = config.getini("modal_cache_volume") or SessionOptions.cache_volume
    session = SessionOptions(**waits, cache_volume="" if volume.lower() in OFF else volume)
    option = config.getoption
    record = bool(option("modal_record"))
    if record and mode in ("replay", "skip"):
        what = f"--modal-record has nothing to record in mode {mode!r}"
        raise pytest.UsageError(three_parts(what, "the command line", "pytest --modal --modal-record"))
    resume = bool(option("modal_resume") or config.getini("modal_resume"))
    prune = bool(option("modal_prune_recordings"))
    return Settings(mode, environment, session, _gates(config, mode), resume, record, prune, rules)


def _gates(config: pytest.Config, mode: str) -> GateSettings:
    strict = config.getini("modal_gate")
    if strict not in ("", "strict"):
        raise pytest.UsageError(three_parts(f"modal_gate = {strict}", "the ini file", "write strict, or leave it out"))
    updating, reason = config.getoption("modal_update_baselines"), config.getoption("modal_accept_regression")
    if reason is not None:
        try:
            reason = check_reason(reason, updating=updating)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None
    confirm = _whole(config, "modal_gate_confirm", 2 if mode == "modal" else 0, least=0)
    rounds = _whole(config, "modal_baseline_rounds", GateSettings.rounds, least=1)
    return GateSettings(
        confirm=confirm if mode in ("local", "modal") else 0,
        rounds=rounds,
        strict=strict == "strict",
        ci=os.environ.get("CI", "").lower() not in ("", *OFF),
        per_gpu=config.getini("modal_baseline_per_gpu"),
        updating=updating,
        accept=reason,
    )


def _whole(config: pytest.Config, name: str, default: int, *, least: int) -> int:
    text = config.getini(name)
    number = int(text) if text.isdecimal() else default if not text else -1
    if not least <= number <= MOST_ROUNDS:
        remedy = f"give a number of rounds, {least} to {MOST_ROUNDS}"
        raise pytest.UsageError(three_parts(f"{name} = {text}", "the ini file", remedy))
    return number


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= MAX_SECONDS:
        remedy = "give a number of seconds, a day at most"
        raise pytest.UsageError(three_parts(f"{name} = {text}", "the ini file", remedy))
    return seconds


def check_reason(reason: str | None, *, updating: bool) -> str | None:
    """Check the reason for accepting a regression.

    Raises
    ------
    ValueError
        It says nothing, or no baseline is being recorded.
    """
    if reason is None:
        return None
    where = "--modal-accept-regression"
    if not updating:
        what = "a regression is accepted by recording it, but no baseline is being recorded"
        raise ValueError(three_parts(what, where, "add --modal-update-baselines"))
    stated = " ".join(reason.split())
    if not any(map(str.isalnum, stated)):
        remedy = 'say why, for whoever reads the history: --modal-accept-regression="4-bit weights, half the memory"'
        raise ValueError(three_parts("a regression is accepted without a reason", where, remedy))
    return stated
