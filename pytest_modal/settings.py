"""Options, environment variables and ini values, resolved in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_modal.declare import DeclarationError, checked_settings

MODES = ("local", "skip")


@dataclass(frozen=True)
class Settings:
    """How this run of pytest goes about GPU tests.

    Attributes
    ----------
    mode : str
        One of `MODES`.
    environment : dict
        The project's settings for every environment.
    rules : tuple of str
        Lines of the ini ``modal_rules``: which rules are errors, warnings or off.
    """

    mode: str
    environment: dict[str, Any]
    rules: tuple[str, ...] = ()


SETTINGS = pytest.StashKey[Settings]()


def add_options(parser: pytest.Parser) -> None:
    """Register options and ini values.

    Help texts: one sentence, what it does and not how; the default at the end.
    """
    group = parser.getgroup("modal", "GPU tests on Modal (pytest-modal)")
    group.addoption(
        "--modal-mode",
        dest="modal_mode",
        choices=MODES,
        help="Where GPU functions run: local (a worker process on this machine) or skip (default: local).",
    )
    group.addoption(
        "--modal-plan",
        dest="modal_plan",
        action="store_true",
        help="Print what would be sent; send nothing and run no test.",
    )
    group.addoption(
        "--modal-output-dir",
        dest="modal_output_dir",
        metavar="DIR",
        help="Directory for the files that tests write, relative to the rootdir (default: modal_output).",
    )
    parser.addini("modal_mode", "Where GPU functions run; see --modal-mode.", type="string", default="")
    parser.addini("modal_output_dir", "Directory for the files that tests write.", type="string", default="")
    parser.addini(
        "modal_rules", 'Rules that are "error", "warning" or "off", one a line: PM107 = off.', type="linelist"
    )
    parser.addini("modal_gpu", "Default gpu= of GPU functions (default: T4).", type="string", default="")
    parser.addini("modal_timeout", "Default timeout= in seconds (default: 1800).", type="string", default="")


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
        raise pytest.UsageError(
            f"unknown mode {mode!r}\n  where: PYTEST_MODAL_MODE or the ini modal_mode\n"
            f"  what to do: use one of {', '.join(MODES)}"
        )
    given: dict[str, Any] = {}
    if gpu := config.getini("modal_gpu"):
        names = [name.strip() for name in gpu.split(",")]
        given["gpu"] = names[0] if len(names) == 1 else names
    if timeout := config.getini("modal_timeout"):
        try:
            given["timeout"] = float(timeout)
        except ValueError:
            raise pytest.UsageError(
                f"modal_timeout = {timeout}\n  where: the ini file\n  what to do: give a number of seconds"
            ) from None
    try:
        environment = checked_settings(given, "ini", str(config.inipath), tuple(given))
    except DeclarationError as error:
        raise pytest.UsageError(str(error)) from None
    if rules := tuple(config.getini("modal_rules")):
        from pytest_modal.checks.planned import LevelError, read_levels

        try:
            read_levels(rules)
        except LevelError as error:
            raise pytest.UsageError(str(error)) from None
    return Settings(mode, environment, rules)
