"""A run's record for GitHub and GitLab: pages, metrics, annotations, where their workflows look for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from pytest_modal.local.output_dir import output_root
from pytest_modal.report.annotations import commands, repository_of
from pytest_modal.report.github import append_step_summary, comment
from pytest_modal.report.gitlab import metrics
from pytest_modal.report.record import Record
from pytest_modal.store.files import write_text

COMMENT = "summary.md"
METRICS = "metrics.txt"
# Other plugins that annotate the tests whose call failed.
_ANNOTATES = "pytest_github_actions_annotate_failures"


def write_pages(config: pytest.Config, record: Record) -> Iterator[str]:
    """Write the pages of a finished run, and yield a line for each that could not be written."""
    root = output_root(config)
    yield from _written(COMMENT, lambda: write_text(root / COMMENT, comment(record)))
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        yield from _written("the summary of the step", lambda: append_step_summary(Path(path), record))
    if os.environ.get("GITLAB_CI"):
        yield from _written(METRICS, lambda: write_text(root / METRICS, metrics(record)))


def _written(what: str, write: Callable[[], None]) -> Iterator[str]:
    try:
        write()
    except OSError as error:
        yield f"{what} was not written: {error}"


def annotate(config: pytest.Config, record: Record) -> None:
    """Print the annotations of a finished run at its very end, in a GitHub workflow."""
    repository = repository_of(config.rootpath, os.environ)
    if repository is not None:
        other_plugin = config.pluginmanager.has_plugin(_ANNOTATES)
        lines = commands(record, repository, other_plugin=other_plugin)
        # Below the summary; nothing is captured there.
        config.add_cleanup(partial(_print, config, lines))


def _print(config: pytest.Config, lines: Sequence[str]) -> None:
    screen = config.pluginmanager.get_plugin("terminalreporter")
    for line in lines:
        if screen is not None:
            screen.write_line(line)
        else:
            sys.stdout.write(f"{line}\n")
