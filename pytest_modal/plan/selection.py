"""The selection: which GPU tests were selected, and whether all tests were."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_modal.declare.marker import MARKER

DESELECTED = pytest.StashKey[bool]()


def gpu_tests(session: pytest.Session) -> list[pytest.Item]:
    """Return the selected GPU tests of a session that will really run tests."""
    option = session.config.option
    if option.collectonly or getattr(option, "setuponly", False) or getattr(option, "setupplan", False):
        return []
    if session.testsfailed and not option.continue_on_collection_errors:
        return []
    return [item for item in session.items if is_marked(item)]


def is_everything(session: pytest.Session) -> bool:
    """Whether all tests of the project were selected: nothing was left out, and nothing is broken."""
    config = session.config
    narrowed = ("ignore", "ignore_glob", "deselect", "lf", "failedfirst", "stepwise", "keyword", "markexpr")
    if session.testsfailed or config.stash.get(DESELECTED, False):
        return False
    if any(getattr(config.option, name, None) for name in narrowed):
        return False
    given = [Path(config.invocation_params.dir, argument) for argument in config.args]
    wanted = [config.rootpath / path for path in config.getini("testpaths")] or [config.rootpath]
    return all(any(path == each or each in path.parents for each in given) for path in wanted)


def is_marked(item: pytest.Item) -> bool:
    # The keywords are looked up first, since that is all that plain suites pay; a test can have the marker's name.
    return MARKER in item.keywords and item.get_closest_marker(MARKER) is not None
