"""Every test starts pytest on a small suite of its own."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings must not decide what the tests see."""
    for name in ("PYTEST_MODAL_MODE", "PYTEST_MODAL_OUTPUT_DIR", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
