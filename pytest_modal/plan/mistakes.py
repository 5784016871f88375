"""Mistakes in single tests: found before anything is planned, and errors of those tests alone."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.declare.keywords import DeclarationError
from pytest_modal.declare.remote_function import RemoteFunction, parameters_of
from pytest_modal.plan.remote_fixtures import marker_of, reached, unknown_fixture
from pytest_modal.plan.state import PLAN, ItemPlan, Unknown
from pytest_modal.wording import three_parts

MODAL_RESULT = "modal_result"
# Fixtures that write files, or return a directory for them.
DIRECTORIES = ("output_dir", "tmp_path", "tmpdir", "save_csv", "save_figure", "save_json", "accuracy_gate")


def refuse_mistakes(items: Sequence[pytest.Function]) -> list[pytest.Function]:
    """Set the error of each test with a mistake; return the others."""
    others = []
    for item in items:
        plan = _mistake(item)
        if plan is None:
            others.append(item)
        else:
            item.stash[PLAN] = plan
    return others


def _mistake(item: pytest.Function) -> ItemPlan | None:
    try:
        marked = marker_of(item).remote
    except DeclarationError as error:
        return ItemPlan(error=str(error))
    of_function = parameters_of(marked.function) if marked is not None else {}
    path = unknown_fixture(item)
    # What only the marker's function takes is refused where its parameters are bound.
    if path is not None and (path[-1] in compat.own_names(item) or path[-1] not in of_function):
        hint = did_you_mean(item, path[-1])
        what = f"fixture {path[-1]!r} not found"
        return ItemPlan(error=f"{what}: {hint}" if hint else what, unknown=Unknown(path, hint))
    found = [*reached(item)]
    for remote, _, requested_by in found:
        if remote.in_container and requested_by is not None:
            return ItemPlan(error=_container_fixture(item, remote, requested_by))
    if marked is None and all(remote.in_container for remote, _, _ in found):
        return ItemPlan(error=_nothing_sent(item, [remote.name for remote, _, _ in found]))
    return None


def did_you_mean(item: pytest.Item, name: str) -> str:
    """Return a question with the fixture that was probably meant; empty without one."""
    visible = compat.visible_fixtures(item)
    close = difflib.get_close_matches(name, visible, n=1) if name not in visible else []
    return f"did you mean {close[0]!r}?" if close else ""


def way_out_of_function_scope(name: str) -> str:
    """Return what to do about a remote fixture that takes a function-scoped local fixture."""
    if name in DIRECTORIES:
        # As PM102 does: a wider scope would not make a directory of this machine exist there.
        return f"return the data, and use {name!r} in the test, where the result arrives"
    return f'set scope="module" or wider on {name!r}, or use it in the test'


def _container_fixture(item: pytest.Item, remote: RemoteFunction, requested_by: str) -> str:
    return three_parts(
        f"{requested_by} requests the container fixture {remote.name!r}, but its value never leaves the container",
        item.nodeid,
        f"write a @pytest_modal.fixture that requests {remote.name!r} and returns data, and request that",
    )


def _nothing_sent(item: pytest.Function, containers: Sequence[str]) -> str:
    if containers:
        names = ", ".join(map(repr, containers))
        what = f"the test uses {names} and no remote fixture that returns data: nothing would run on a GPU"
        remedy = f"request a @pytest_modal.fixture that requests {names} and returns data"
    elif MODAL_RESULT in compat.initial_names(item):
        what = "modal_result has no value: the test's marker names no function"
        remedy = "set function= on the marker: @pytest.mark.modal_gpu(function=...)"
    else:
        what = f"{item.name} is marked modal_gpu, but it uses no remote fixture: nothing would run on a GPU"
        remedy = "request a @pytest_modal.fixture by name, set function= on the marker, or remove the marker"
    return three_parts(what, item.nodeid, remedy)
