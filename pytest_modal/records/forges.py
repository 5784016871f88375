"""A run's record for GitHub and GitLab: pages, metrics, annotations, where their workflows look for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from pytest_modal.local.output_dir import COMMENT, METRICS, output_root
from pytest_modal.report.annotations import commands, repository_of
from pytest_modal.report.github import append_step_summary, comment
from pytest_modal.report.gitlab import metrics
from pytest_modal.report.record import Record
from pytest_modal.store.files import write_text

# Other plugins that annotate the tests whose call failed.
_ANNOTATES = "pytest_github_actions_annotate_failures"


def write_comment(config: pytest.Config, record: Record, previous: Record | None) -> None:
    """Write the body of a comment on a pull request beside the record."""
    write_text(output_root(config) / COMMENT, comment(record))


def write_step_summary(config: pytest.Config, record: Record, previous: Record | None) -> None:
    """Add to the summary of the step, in a GitHub workflow."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        append_step_summary(Path(path), record)


def write_metrics(config: pytest.Config, record: Record, previous: Record | None) -> None:
    """Write the metrics beside the record, in a job of GitLab."""
    if os.environ.get("GITLAB_CI"):
        write_text(output_root(config) / METRICS, metrics(record))


def annotate(config: pytest.Config, record: Record, previous: Record | None) -> None:
    """Print the annotations at the very end of the run, in a GitHub workflow."""
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
