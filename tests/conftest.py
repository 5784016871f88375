"""Every test starts pytest on a small suite of its own."""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator

# pytester forgets what an inner run has imported, and numpy can't be loaded twice in one process.
import numpy  # noqa: F401
import pandas  # noqa: F401
import pytest
from loopback_modal import LoopbackModal, places_of_clients

import pytest_modal

pytest_plugins = ["pytester"]

# So that it need not be imported again for each inner run: that would be a quarter of the time of all tests.
for module in pkgutil.walk_packages(pytest_modal.__path__, "pytest_modal."):
    importlib.import_module(module.name)

# Now: the first test that asks for the server may have another home.
PLACES = places_of_clients()

if importlib.util.find_spec("hypothesis"):
    import hypothesis

    # How long an example takes is decided by what else the machine does.
    hypothesis.settings.register_profile("untimed", deadline=None)
    hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def plain_environment() -> dict[str, str]:
    """The environment without a developer's own settings: they must not decide what the tests see."""
    environment = {name: value for name, value in os.environ.items() if not _configures(name)}
    # Nor may a test reach the developer's account. Pages of runs take a quarter of a second: some tests want them.
    fixed = {"MODAL_CONFIG_PATH": os.devnull, "MODAL_SERVER_URL": "http://127.0.0.1:9", "PYTEST_MODAL_REPORT": "off"}
    return {**environment, **fixed}


# Plugins that the pytest of a test does without: they take it a quarter of a second. `test_other_plugins.py` has them.
OTHER_PLUGINS = ["anyio", "asyncio", "html", "html_fixtures", "hypothesispytest", "metadata", "pytest_cov", "timeout"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Its tests take a minute each: begun last, one worker would be left alone with them.
    items.sort(key=lambda item: item.path.name != "test_example_suite.py")


@pytest.fixture(autouse=True)
def _unconfigured(monkeypatch: pytest.MonkeyPatch, plain_environment: dict[str, str]) -> None:
    for name in filter(_configures, [*os.environ]):
        monkeypatch.delenv(name)
    for name in ("MODAL_CONFIG_PATH", "MODAL_SERVER_URL", "PYTEST_MODAL_REPORT"):
        monkeypatch.setenv(name, plain_environment[name])
    # Python takes the bytecode of a file for that of another of its size and second: tests edit faster than people.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory with a pytest; it begins without options."""
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-pno:{name}" for name in OTHER_PLUGINS))
    return pytester


def _configures(name: str) -> bool:
    return name.startswith(("PYTEST_MODAL_", "MODAL_", "GITHUB_")) or name in ("PYTEST_ADDOPTS", "CI", "GITLAB_CI")


@pytest.fixture(scope="session")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackModal]:
    """The server, which is started once; what it remembers of other tests is forgotten by `loopback.fresh()`."""
    hide = [*PLACES, str(tmp_path_factory.getbasetemp())]  # the last may be anywhere: --basetemp
    with LoopbackModal(grace=0.5, cancel_grace=0.5, hide=hide, streams=32) as server:
        yield server


@pytest.fixture
def modal_server(loopback: LoopbackModal, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackModal]:
    """A Modal without a past, to which this process's children talk."""
    with loopback.fresh():
        for name, value in loopback.env.items():
            monkeypatch.setenv(name, value)
        yield loopback


@pytest.fixture
def hiding_server(modal_server: LoopbackModal) -> LoopbackModal:
    """The same, on a machine that permits to hide the project from its containers."""
    facts = modal_server.facts()
    if not facts["hides_project"]:
        pytest.skip(f"containers see all files of this machine: {facts['not_hidden_because']}")
    return modal_server
