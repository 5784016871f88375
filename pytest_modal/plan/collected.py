"""Needs of tests that were collected and not selected: their functions are looked at, and no fixture is set up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.batch.calls import FromCall, Node
from pytest_modal.code.shipping import Shipper, ShippingError
from pytest_modal.declare.keywords import DeclarationError
from pytest_modal.declare.marker import Marker
from pytest_modal.declare.remote_function import RemoteFunction
from pytest_modal.plan.bodies import Bodies
from pytest_modal.plan.environments import Environments
from pytest_modal.plan.remote_fixtures import marker_of, wanted
from pytest_modal.plan.selection import is_marked
from pytest_modal.plan.state import PlanningError


class Collected:
    """Looks at tests; the parameters are the planner's own.

    Parameters
    ----------
    shipper : Shipper
        Ships functions, each once.
    environments : Environments
        Finds the environment of each function.
    bodies : Bodies
        Finds what runs.
    """

    def __init__(self, shipper: Shipper, environments: Environments, bodies: Bodies) -> None:
        self._shipper, self._environments, self._bodies = shipper, environments, bodies

    def nodes(self, items: Iterable[pytest.Item]) -> Iterator[Node]:
        """Yield the functions that tests would need, without arguments; none of a test that can't be planned."""
        for item in items:
            if isinstance(item, pytest.Function) and is_marked(item) and not compat.sends_nothing(item):
                try:
                    marker = marker_of(item)
                    found = [
                        node
                        for remote, chain in wanted(item, marker)
                        for node in self._nodes(item, marker, remote, chain)
                    ]
                # It is not selected: nobody wants to know now.
                except (PlanningError, ShippingError, DeclarationError):
                    continue
                yield from found

    def _nodes(
        self, item: pytest.Function, marker: Marker, remote: RemoteFunction, chain: tuple[str, ...]
    ) -> Iterator[Node]:
        containers = list(dict.fromkeys(self._bodies.containers_of(item, remote, chain)))
        environment = self._environments.of(remote, marker.settings, containers, item.nodeid)
        requested = self._bodies.requested_by(item, remote, chain)
        results = [(inner, path) for inner, path in requested if not inner.in_container]
        own_image = environment.image is not None
        for each in (remote, *containers):
            body, packages = self._bodies.of(each), environment.local_packages
            shipped = self._shipper.ship(body, each.name, packages, each.role, own_image=own_image)
            arguments = {path[-1]: FromCall("") for _, path in results} if each is remote else {}
            yield Node("", each.name, shipped, arguments, environment)
        for inner, path in results:
            yield from self._nodes(item, marker, inner, path)
