"""Options, environment variables and ini values, resolved in one place."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pytest_modal.declare.facts import Facts, FactsError, read_facts
from pytest_modal.declare.project import add_environment, ini_place, not_valid, project_environment, seconds
from pytest_modal.declare.settings import GateSettings, LocalOptions, SessionOptions, Settings
from pytest_modal.wording import three_parts

MODES = ("local", "modal", "replay", "skip")
MOST_ROUNDS = 100
MAX_GPUS = 10_000
# Values of an ini that mean none.
OFF = ("off", "none", "no", "false", "0")
ON = ("", "on", "yes", "true", "1")
_VARIABLES = re.compile(r"[\w*?\[\]!-]+")  # a name, or a pattern of names
_DOLLARS = re.compile(r"\$?\d+(\.\d+)?")
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
        "--modal-inline",
        dest="modal_inline",
        action="store_true",
        help="Run GPU functions in pytest's own process, one at a time, so that breakpoint() and --pdb work in them.",
    )
    group.addoption(
        "--modal-plan",
        dest="modal_plan",
        action="store_true",
        help="Print what would be sent; send nothing and run no test.",
    )
    group.addoption(
        "--modal-max-cost",
        dest="modal_max_cost",
        metavar="DOLLARS",
        help="Refuse a batch that is estimated to cost more on Modal, and stop the session that does (default: none).",
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
        help="Reuse the results of earlier runs for the same calls; send only the others.",
    )
    group.addoption(
        "--modal-output-dir",
        dest="modal_output_dir",
        metavar="DIR",
        help="Directory for the files that tests write, relative to the rootdir (default: modal_output).",
    )
    group.addoption(
        "--modal-report",
        dest="modal_report",
        metavar="PATH|off",
        help="Where the page of the run is written, or off (default: report.html in the output directory).",
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
        action="store_const",
        const="all",
        help="Record the baselines of the accuracy gates of tests that pass.",
    )
    # An option with an optional value would take the next argument, which may be a path.
    group.addoption(
        "--modal-update-baselines=add",
        dest="modal_update_baselines",
        action="store_const",
        const="add",
        help="Add the round of this run to the baselines of gates that pass; the newest rounds are kept.",
    )
    group.addoption(
        "--modal-accept-regression",
        dest="modal_accept_regression",
        metavar="REASON",
        help="Record a baseline although the accuracy fell; the reason goes into its history.",
    )
    parser.addini("modal_mode", "Where GPU functions run; see --modal-mode.", type="string", default="")
    parser.addini("modal_resume", "Reuse the results of earlier runs; see --modal-resume.", type="bool", default=False)
    packages = "same: --modal-resume reuses no result that other versions of packages have made; any: it says so."
    parser.addini("modal_resume_packages", packages, type="string", default="")
    parser.addini("modal_output_dir", "Directory for the files that tests write.", type="string", default="")
    report = "Where the page of a run is written, relative to the rootdir, or off; see --modal-report."
    parser.addini("modal_report", report, type="string", default="")
    parser.addini(
        "modal_rules", 'Rules that are "error", "warning" or "off", one per line: PM107 = off.', type="linelist"
    )
    add_environment(parser)
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
    isolation = "Whether functions have in local mode only what a container would have, or off (default: on)."
    parser.addini("modal_local_isolation", isolation, type="string", default="")
    variables = "Environment variables that functions have in local mode: names or patterns, one per line."
    parser.addini("modal_local_env", variables, type="linelist")
    secret = "Environment variables that are secret too, or with a ! are not: names or patterns, one per line."
    parser.addini("modal_secret_variables", secret, type="linelist")
    gpus = f"GPUs that a run uses at once (default: {SessionOptions.max_gpus}, as Modal's Starter plan allows)."
    parser.addini("modal_max_gpus", gpus, type="string", default="")
    facts = "Facts about Modal that replace assumptions: the report of `pytest-modal doctor`, relative to the rootdir."
    parser.addini("modal_facts", facts, type="string", default="")
    parser.addini("modal_max_cost", "Dollars that a session may cost; see --modal-max-cost.", type="string", default="")
    prices = "Prices that differ from Modal's list, one per line: H100 = 3.20/h."
    parser.addini("modal_prices", prices, type="linelist")
    confirm = "Fresh rounds for a suspicious accuracy gate (default: 4 with Modal, 0 in local mode)."
    parser.addini("modal_gate_confirm", confirm, type="string", default="")
    parser.addini(
        "modal_gate", "strict: an accuracy gate that changed, or is inconclusive, fails.", type="string", default=""
    )
    rounds = f"Rounds of a recorded baseline (default: {GateSettings.rounds})."
    parser.addini("modal_baseline_rounds", rounds, type="string", default="")
    runs = f"Records of runs that are kept in the output directory, 0 for none (default: {Settings.runs})."
    parser.addini("modal_runs", runs, type="string", default="")
    parser.addini("modal_baseline_per_gpu", "Record separate baselines for each device.", type="bool", default=False)


def resolve(config: pytest.Config) -> Settings:
    """Resolve the settings of a run.

    Raises
    ------
    pytest.UsageError
        A value of an environment variable or an ini is not valid.
    """
    # Precedence: command line, environment variable, ini, default.
    mode = (
        config.getoption("modal_mode") or os.environ.get("PYTEST_MODAL_MODE") or config.getini("modal_mode") or "local"
    )
    if mode not in MODES:
        where = "PYTEST_MODAL_MODE" if os.environ.get("PYTEST_MODAL_MODE") else ini_place(config, "modal_mode")
        raise pytest.UsageError(three_parts(f"unknown mode {mode!r}", where, f"use one of {', '.join(MODES)}"))
    inline = bool(config.getoption("modal_inline"))
    if inline:
        mode = _inline(config)
    environment = project_environment(config)
    if rules := tuple(config.getini("modal_rules")):
        from pytest_modal.checks.levels import LevelError, read_levels

        try:
            read_levels(rules, where=ini_place(config, "modal_rules"))
        except LevelError as error:
            raise pytest.UsageError(str(error)) from None
    given_seconds = {name: text for name in _SECONDS if (text := config.getini(f"modal_{name}"))}
    timeouts = {name: seconds(config, f"modal_{name}", text) for name, text in given_seconds.items()}
    volume = config.getini("modal_cache_volume") or SessionOptions.cache_volume
    max_gpus = _whole(config, "modal_max_gpus", SessionOptions.max_gpus, least=1, what="GPUs", most=MAX_GPUS)
    session = SessionOptions(
        **timeouts,
        cache_volume="" if volume.lower() in OFF else volume,
        max_gpus=max_gpus,
        facts=_facts(config),
        max_cost=_max_cost(config),
        prices=_prices(config),
        secret_variables=_names(
            config, "modal_secret_variables", "write names or patterns, such as OURS_* or !AUTH_MODE"
        ),
    )
    option = config.getoption
    record = bool(option("modal_record"))
    if record and mode in ("replay", "skip"):
        what = f"--modal-record has nothing to record in mode {mode!r}"
        raise pytest.UsageError(three_parts(what, "the command line", "run pytest --modal --modal-record"))
    resume = bool(option("modal_resume") or config.getini("modal_resume"))
    packages = config.getini("modal_resume_packages") or ("any" if option("modal_resume") else "same")
    if packages not in ("any", "same"):
        raise not_valid(config, "modal_resume_packages", packages, "set it to same or any, or remove it")
    prune = bool(option("modal_prune_recordings"))
    # Under -s what tests print is shown at once, and so is what functions print; inline they print it themselves.
    stream = option("capture", None) == "no" and not inline
    gates, local = _gates(config, mode), _local(config)
    runs, same = _whole(config, "modal_runs", Settings.runs, least=0, what="runs"), packages == "same"
    return Settings(
        mode,
        environment,
        session,
        gates,
        resume,
        record,
        prune,
        rules,
        inline,
        stream,
        local,
        same,
        runs,
        _report(config),
    )


def _report(config: pytest.Config) -> Path | None:
    given = config.getoption("modal_report")
    text = given or os.environ.get("PYTEST_MODAL_REPORT") or config.getini("modal_report")
    if not text:
        return Settings.report
    if text.lower() in OFF:
        return None
    return (config.invocation_params.dir if given else config.rootpath) / Path(text).expanduser()


def _max_cost(config: pytest.Config) -> float | None:
    given, ini = config.getoption("modal_max_cost"), config.getini("modal_max_cost")
    if not (text := ini if given is None else given) and given is None:
        return None
    if _DOLLARS.fullmatch(text) and (dollars := float(text.removeprefix("$"))) > 0:
        return dollars
    remedy = "set it to a number of dollars above 0, such as 2 or 0.50"
    if given is not None:
        raise pytest.UsageError(three_parts(f"--modal-max-cost={text} is not valid", "the command line", remedy))
    raise not_valid(config, "modal_max_cost", text, remedy)


def _prices(config: pytest.Config) -> tuple[tuple[str, float], ...]:
    lines = config.getini("modal_prices")
    if not lines:
        return ()
    from pytest_modal.declare.prices import PriceError, read_prices

    try:
        return read_prices(lines)
    except PriceError as error:
        raise not_valid(config, "modal_prices", error.what, error.remedy) from None


def _names(config: pytest.Config, ini: str, remedy: str) -> tuple[str, ...]:
    """Return names or patterns of environment variables."""
    for each in (given := config.getini(ini)):
        if not _VARIABLES.fullmatch(each):
            raise not_valid(config, ini, each, remedy)
    return tuple(given)


def _facts(config: pytest.Config) -> Facts:
    path = config.getini("modal_facts")
    if not path:
        return Facts()
    try:
        return read_facts(config.rootpath / path)
    except FactsError as error:
        raise pytest.UsageError(str(error)) from None


def _local(config: pytest.Config) -> LocalOptions:
    isolation = config.getini("modal_local_isolation")
    if isolation.lower() not in (*ON, *OFF):
        raise not_valid(config, "modal_local_isolation", isolation, "set it to off, or remove it")
    remedy = "write names or patterns, such as WANDB_*, one per line; env= sets values"
    return LocalOptions(isolation.lower() in ON, _names(config, "modal_local_env", remedy))


def _inline(config: pytest.Config) -> str:
    """Return the mode of --modal-inline, or refuse what can't go with it on the command line."""
    mode, remedy = config.getoption("modal_mode"), "debug in local mock mode: pytest --modal-inline"
    if mode not in (None, "local"):
        what = f"--modal-inline runs functions in pytest's own process, and mode {mode!r} does not"
        raise pytest.UsageError(three_parts(what, "the command line", remedy))
    for name in ("modal_record", "modal_update_baselines"):
        if config.getoption(name):
            option = f"--{name.replace('_', '-')}"
            what = f"{option} keeps results, and those of --modal-inline are made without isolation, for debugging"
            raise pytest.UsageError(three_parts(what, "the command line", f"run again without {option}"))
    return "local"


def _gates(config: pytest.Config, mode: str) -> GateSettings:
    strict = config.getini("modal_gate")
    if strict not in ("", "strict"):
        raise not_valid(config, "modal_gate", strict, "set it to strict, or remove it")
    what, reason = config.getoption("modal_update_baselines"), config.getoption("modal_accept_regression")
    if reason is not None:
        try:
            reason = check_reason(reason, updating=what == "all")
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None
    confirm = _whole(config, "modal_gate_confirm", 4 if mode == "modal" else 0, least=0)
    rounds = _whole(config, "modal_baseline_rounds", GateSettings.rounds, least=1)
    return GateSettings(
        confirm=confirm if mode in ("local", "modal") else 0,
        rounds=rounds,
        rounds_are_set=bool(config.getini("modal_baseline_rounds")),
        strict=strict == "strict",
        ci=os.environ.get("CI", "").lower() not in ("", *OFF),
        per_gpu=config.getini("modal_baseline_per_gpu"),
        updating=what == "all",
        adding=what == "add",
        accept=reason,
    )


def _whole(
    config: pytest.Config, name: str, default: int, *, least: int, what: str = "rounds", most: int = MOST_ROUNDS
) -> int:
    text = config.getini(name)
    if not text:
        return default
    if not text.isdecimal() or not least <= int(text) <= most:
        raise not_valid(config, name, text, f"set it to a number of {what}, from {least} to {most:,}")
    return int(text)


def check_reason(reason: str | None, *, updating: bool) -> str | None:
    """Check the reason for accepting a regression.

    Raises
    ------
    ValueError
        It is empty, or no baseline is being recorded.
    """
    if reason is None:
        return None
    where = "the command line"
    if not updating:
        what = "--modal-accept-regression records an accepted drop, but no baseline is being recorded"
        raise ValueError(three_parts(what, where, "add --modal-update-baselines"))
    stated = " ".join(reason.split())
    if not any(map(str.isalnum, stated)):
        what = "--modal-accept-regression has no reason, which the history of the baseline needs"
        remedy = 'state the reason: --modal-accept-regression="4-bit weights, half the memory"'
        raise ValueError(three_parts(what, where, remedy))
    return stated
