"""Every test starts pytest on a small suite of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

# pytester forgets what an inner run has imported, and numpy can't be loaded twice in one process.
import numpy  # noqa: F401
import pandas  # noqa: F401
import pytest
from loopback_modal import LoopbackModal

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings must not decide what the tests see."""
    for name in [*os.environ]:
        if name.startswith(("PYTEST_MODAL_", "MODAL_")) or name in ("PYTEST_ADDOPTS", "CI"):
            monkeypatch.delenv(name)
    # Nor may a test reach the developer's account.
    monkeypatch.setenv("MODAL_CONFIG_PATH", os.devnull)
    monkeypatch.setenv("MODAL_SERVER_URL", "http://127.0.0.1:9")


@pytest.fixture(scope="session")
def _loopback() -> Iterator[LoopbackModal]:
    with LoopbackModal(grace=0.5, cancel_grace=0.5) as server:
        yield server


@pytest.fixture
def modal_server(_loopback: LoopbackModal, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackModal]:
    """A Modal without a past, to which this process's children talk; it must understand all that it is asked."""
    _loopback.reset()
    for name, value in _loopback.env.items():
        monkeypatch.setenv(name, value)
    yield _loopback
    facts = _loopback.facts()
    assert facts["unknown_rpcs"] == {}
    assert facts["errors"] == []
