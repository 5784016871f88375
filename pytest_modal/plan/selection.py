"""The selection: which GPU tests were selected, and whether all tests were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.declare.marker import MARKER

DESELECTED = pytest.StashKey[list[pytest.Item]]()


def gpu_tests(session: pytest.Session) -> list[pytest.Item]:
    """Return the selected GPU tests of a session that will really run tests."""
    option = session.config.option
    # With --setup-only fixtures do run, remote ones too.
    if option.collectonly or getattr(option, "setupplan", False):
        return []
    if session.testsfailed and not option.continue_on_collection_errors:
        return []
    return [item for item in session.items if is_marked(item)]


def waiting_for_results(tests: Sequence[pytest.Item]) -> tuple[list[pytest.Function], Counter[str]]:
    """Separate the tests that will run from those that marks skip.

    Returns
    -------
    list of pytest.Function
        Those that will run.
    Counter
        For each condition, how many tests a ``skipif`` skips.
    """
    waiting, conditions = list[pytest.Function](), Counter[str]()
    for item in (item for item in tests if isinstance(item, pytest.Function)):
        if not compat.sends_nothing(item):
            waiting.append(item)
        elif (reason := compat.condition_that_skips(item)) is not None:
            conditions[reason] += 1
    return waiting, conditions


def is_everything(session: pytest.Session) -> bool:
    """Whether all tests of the project were selected: nothing was left out, and nothing is broken."""
    config = session.config
    narrowed = ("ignore", "ignore_glob", "deselect", "lf", "failedfirst", "stepwise", "keyword", "markexpr")
    if session.testsfailed or config.stash.get(DESELECTED, []):
        return False
    if any(getattr(config.option, name, None) for name in narrowed):
        return False
    given = [Path(config.invocation_params.dir, argument) for argument in config.args]
    wanted = [config.rootpath / path for path in config.getini("testpaths")] or [config.rootpath]
    return all(any(path == each or each in path.parents for each in given) for path in wanted)


def is_marked(item: pytest.Item) -> bool:
    # The keywords are looked up first, since that is all that plain suites pay; a test can have the marker's name.
    return MARKER in item.keywords and item.get_closest_marker(MARKER) is not None
