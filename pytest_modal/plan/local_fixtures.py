"""Local fixtures that run while the batch is planned: as in the setup of the test that needs them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from pytest_modal import _pytest_compat as compat

# pytest's own plugins that surround the setup of a test. The others, and the hooks of conftests, see it when it is run.
_AROUND = ("capturemanager", "logging-plugin", "warnings")


class AsAtSetup:
    """Runs pieces of work with what pytest has around the setup of a test: capture, logging, warning filters.

    What is printed and logged is then shown with the test, and what is warned of belongs to it.
    """

    def __init__(self, config: pytest.Config) -> None:
        manager = self._manager = config.pluginmanager
        manager.register(self, "pytest_modal_as_at_setup")
        around = [self, *map(manager.get_plugin, _AROUND)]
        others = [plugin for plugin in manager.get_plugins() if not any(plugin is each for each in around)]
        self._loop = manager.subset_hook_caller("pytest_runtestloop", others)
        self._protocol = manager.subset_hook_caller("pytest_runtest_protocol", others)
        self._setup = manager.subset_hook_caller("pytest_runtest_setup", others)
        self._task: tuple[pytest.Item, Callable[[], object]] | None = None

    def run(self, item: pytest.Item, work: Callable[[], object]) -> None:
        """Do something that belongs to the setup of a test."""
        self._task = item, work
        try:
            self._loop(session=item.session)
        finally:
            self._task = None

    def close(self) -> None:
        """Leave the setup of tests to pytest again."""
        self._manager.unregister(self)

    def pytest_runtestloop(self) -> bool:
        assert self._task is not None, "no test runs while the batch is planned"
        self._protocol(item=self._task[0], nextitem=None)
        return True

    def pytest_runtest_protocol(self, item: pytest.Item) -> bool:
        self._setup(item=item)
        return True

    def pytest_runtest_setup(self) -> None:
        assert self._task is not None, "no test runs while the batch is planned"
        self._task[1]()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        try:
            return (yield)
        except BaseException as error:
            compat.keep_exception(fixturedef, request, error)
            raise


def ends_run(config: pytest.Config, error: BaseException) -> bool:
    """Whether an exception of a local fixture is meant for the whole run; any other is an error of its tests."""
    if isinstance(error, pytest.exit.Exception):
        # A worker of pytest-xdist that ends now is replaced; the fixture raises again at the setup of its test.
        return not hasattr(config, "workerinput")
    return isinstance(error, KeyboardInterrupt)
