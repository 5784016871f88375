"""Renderers of a run's record: what is made from it when it is written."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_modal.declare.settings import settings_of
from pytest_modal.local.output_dir import COMMENT, METRICS, output_root
from pytest_modal.plan.garbage import without_collections
from pytest_modal.records import forges
from pytest_modal.records.reading import previous_of
from pytest_modal.report.record import Record


@dataclass(frozen=True)
class Renderer:
    """Makes something from a record.

    Attributes
    ----------
    what : str
        Names it in a line about what was not written.
    make : callable
        Takes the config, the record, and the last one of the same tests in the same mode, if there is one.
    early : bool
        Whether it is made once the batch has run too, from a record that is "unfinished": pytest may be killed later.
    """

    what: str
    make: Callable[[pytest.Config, Record, Record | None], None]
    early: bool = False


_PREPARE_AFTER = 0.5  # seconds, in which the batch is started
_PAGE = pytest.StashKey[Path]()
_PREVIOUS = pytest.StashKey[Record | None]()


def page_of(config: pytest.Config) -> Path | None:
    """Return the page that was written of this run."""
    return config.stash.get(_PAGE, None)


def _write_page(config: pytest.Config, record: Record, previous: Record | None) -> None:
    report = settings_of(config).report
    if report is not None:
        from pytest_modal.report.html.page import write_page

        root = output_root(config)
        write_page(record, previous, root, root / report)
        config.stash[_PAGE] = root / report


@contextlib.contextmanager
def prepared(config: pytest.Config) -> Iterator[Callable[[Record], None]]:
    """Give what makes ready, while the block lasts that waits for others, what the record of a run is rendered with."""
    timers: list[threading.Timer] = []

    def begin(record: Record) -> None:
        # The record itself is not kept for it: of thousands of calls it is large.
        timers.append(threading.Timer(_PREPARE_AFTER, _prepare, (config, record["id"], record["selection"])))
        timers[-1].daemon = True
        timers[-1].start()

    try:
        yield begin
    finally:
        for timer in timers:
            timer.cancel()
            timer.join()  # nothing of it happens while tests run


@without_collections()
def _prepare(config: pytest.Config, run: str, selection: str) -> None:
    # What is wrong is raised again when it is needed.
    with contextlib.suppress(Exception):
        if settings_of(config).report is not None:
            from pytest_modal.report.html.page import load_templates

            load_templates()
        config.stash[_PREVIOUS] = previous_of(run, selection, output_root(config))


def last_before(config: pytest.Config, record: Record) -> Record | None:
    """Return the last run before this one of the same tests in the same mode; None without one."""
    found = config.stash.get(_PREVIOUS, None)
    if found is not None and found["selection"] == record["selection"]:
        return found
    return previous_of(record["id"], record["selection"], output_root(config))


RENDERERS: tuple[Renderer, ...] = (
    Renderer("the page of the run", _write_page, early=True),
    Renderer(COMMENT, forges.write_comment),
    Renderer("the summary of the step", forges.write_step_summary),
    Renderer(METRICS, forges.write_metrics),
    Renderer("annotations", forges.annotate),
)


def render(
    config: pytest.Config,
    record: Record,
    previous: Record | None,
    renderers: Sequence[Renderer] | None = None,
) -> Iterator[str]:
    """Make everything that is made from a record, and yield a line for each part that could not be.

    Parameters
    ----------
    previous : Record or None
        The last one of the same tests, in the same mode.
    renderers : sequence of Renderer, optional
        `RENDERERS`, unless others are wanted.
    """
    for each in RENDERERS if renderers is None else renderers:
        if record["ending"] == "unfinished" and not each.early:
            continue
        try:
            each.make(config, record, previous)
        except OSError as error:
            yield f"{each.what} was not written: {error}"
        except Exception as error:  # the tests of the run have ended: their results must be seen
            yield f"{each.what} was not written: {type(error).__name__}: {error} (in pytest-modal itself: report this)"
