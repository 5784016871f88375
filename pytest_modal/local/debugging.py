"""The way from a failed call into a debugger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_modal.declare.settings import settings_of
from pytest_modal.plan.state import raised_inline

if TYPE_CHECKING:
    from pytest_modal.batch.outcomes import Outcome


def raised_here(config: pytest.Config, failed: Sequence[Outcome]) -> BaseException | None:
    """Return what a function has raised in this process, with its own frames: ``--pdb`` goes to them."""
    raised = raised_inline(config)
    for outcome in failed:
        if outcome.status == "raised" and (found := raised.get(outcome.container_key or outcome.key)):
            error, trace = found
            return error.with_traceback(trace)
    return None


def debugger_hint(item: pytest.Item, failed: Sequence[Outcome]) -> Iterator[str]:
    """Yield how to get into the function, for those who wanted a debugger and are in the wrong process."""
    if settings_of(item.config).inline or not item.config.getoption("usepdb", False):
        return
    if any(outcome.status == "raised" for outcome in failed):
        yield f"The function ran in another process. To debug it: pytest --modal-inline --pdb {item.nodeid!r}"
