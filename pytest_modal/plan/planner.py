"""From selected tests to a batch: which calls they need, with which arguments, where."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import Any

import pytest

from pytest_modal import _pytest_compat as compat
from pytest_modal.batch.calls import NONE, Argument, Batch, Call, Container, Data, FromCall, FromContainer, Node, Rank
from pytest_modal.batch.digest import digest_of
from pytest_modal.batch.environment import Environment
from pytest_modal.code.keys import declared_parts
from pytest_modal.code.local_code import CodeKeyError
from pytest_modal.code.requirements import refusal
from pytest_modal.code.shipping import Shipper, ShippingError
from pytest_modal.declare.marker import Marker
from pytest_modal.declare.remote_function import RemoteFunction, parameters_of, remote_of
from pytest_modal.plan.bodies import Bodies
from pytest_modal.plan.collected import Collected
from pytest_modal.plan.environments import Environments
from pytest_modal.plan.garbage import without_collections
from pytest_modal.plan.local_fixtures import AsAtSetup, ends_run
from pytest_modal.plan.mistakes import did_you_mean, way_out_of_function_scope
from pytest_modal.plan.order import as_first_test, rank_of, sort_calls
from pytest_modal.plan.parameters import parameters_behind, shown, value_text
from pytest_modal.plan.remote_fixtures import (
    definition_at,
    leads_to_remote,
    marker_of,
    request_along,
    wanted,
)
from pytest_modal.plan.scopes import shorter_lived
from pytest_modal.plan.sending import Values
from pytest_modal.plan.state import PLAN, ItemPlan, PlanningError
from pytest_modal.remote import data
from pytest_modal.remote.masks import Masks, SecretNames
from pytest_modal.wording import three_parts


@dataclass
class _Visit:
    """One test while it is planned."""

    item: pytest.Function
    marker: Marker
    rank: Rank
    plan: ItemPlan = field(default_factory=ItemPlan)
    containers: dict[tuple[RemoteFunction, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Site:
    """A place among the fixtures of a test: which fixture requests there, and through which names it is reached."""

    visit: _Visit
    remote: RemoteFunction
    request: pytest.FixtureRequest
    chain: tuple[str, ...]

    @property
    def item(self) -> pytest.Function:
        """The test."""
        return self.visit.item

    @property
    def definition(self) -> compat.FixtureDef | None:
        """The fixture at this place; None for a marker's function."""
        return definition_at(self.item, self.chain)


class Planner:
    """Builds the batch of a session.

    Parameters
    ----------
    config : pytest.Config
        Of the session; its rootdir is the directory of the project.
    defaults : mapping
        Settings of the project for every environment.
    mocks : bool
        Whether ``mock=`` replaces the bodies.
    travels : bool
        Whether functions will be sent anywhere.
    secret : SecretNames
        Which environment variables are secret.
    """

    def __init__(
        self, config: pytest.Config, defaults: Mapping[str, Any], *, mocks: bool, travels: bool, secret: SecretNames
    ) -> None:
        self._rootdir = rootdir = config.rootpath
        self._config = config
        self._travels = travels
        self._shipper = Shipper(rootdir, travels=travels)
        self._environments = Environments(defaults, self._shipper.location)
        self._values = Values(self._shipper, Masks(secret.among(os.environ.items()) if travels else ()))
        self._bodies = Bodies(mocks=mocks)
        self.collected = Collected(self._shipper, self._environments, self._bodies)
        self._calls: dict[str, Call] = {}
        self._mocked: set[str] = set()
        self._batch = Batch()

    def plan(self, items: Sequence[pytest.Function]) -> Batch:
        """Plan the tests; each gets its `ItemPlan`, with an error where it can't be planned."""
        # Planning makes many objects that stay: looking for garbage among them takes a quarter of its time.
        with without_collections(), contextlib.closing(AsAtSetup(self._config)) as self._as_at_setup:
            for item, following in zip_longest(items, items[1:]):
                self._plan_item(item, following)
        self._batch.calls = list(self._calls.values())
        sort_calls(self._batch)
        return self._batch

    def _plan_item(self, item: pytest.Function, following: pytest.Function | None) -> None:
        visit = _Visit(item, marker_of(item), rank_of(item, self._rootdir))
        item.stash[PLAN] = visit.plan
        try:
            with compat.active(item, following, partial(self._as_at_setup.run, item)) as request:
                # pytest would run these before any other fixture. They are not torn down, so they still run only once.
                for name in compat.session_autouse(item):
                    if not leads_to_remote(item, name):
                        self._value_of(item, request, name)
                for remote, chain in wanted(visit.item, visit.marker):
                    self._call(_Site(visit, remote, request_along(visit.item, request, chain[:-1]), chain))
        except (PlanningError, ShippingError, data.NotDataError) as error:
            visit.plan.error = str(error)
        except pytest.skip.Exception as skipped:
            visit.plan.reason = f"a fixture skipped the test when the batch was planned: {skipped}"
        except BaseException as error:
            if ends_run(item.config, error):
                raise
            # The fixture runs again at setup and then reports its error; this reason is shown if it succeeds there.
            visit.plan.reason = f"a local fixture failed when the batch was planned: {type(error).__name__}: {error}"

    def _value_of(self, item: pytest.Function, request: pytest.FixtureRequest, name: str) -> Any:
        if not compat.is_set_up(item, name):
            self._as_at_setup.run(item, lambda: request.getfixturevalue(name))
        return request.getfixturevalue(name)

    def _call(self, site: _Site) -> str:
        visit, remote = site.visit, site.remote
        if remote in visit.plan.calls:
            return visit.plan.calls[remote]
        containers = [
            found for found in self._bodies.containers_of(site.item, remote, site.chain) if found is not remote
        ]
        environment = self._environments.of(remote, visit.marker.settings, containers, visit.item.nodeid)
        node = self._node(site, environment, self._apart(site, containers, environment))
        needed = tuple(dict.fromkeys(self._containers_in_order(node)))
        mocked = not self._mocked.isdisjoint({node.key, *needed, *node.references(FromCall)})
        self._mocked |= {node.key} if mocked else set()
        call = Call(**node.fields(), containers=needed, mocked=mocked)
        declared = self._declared_by_marker(visit)
        for part in self._split(visit, remote, call):
            planned = as_first_test(self._calls, part)
            if planned is part:
                planned.tests = [visit.item.nodeid]  # nearly always the only one: no room for more
            else:
                planned.tests.append(visit.item.nodeid)
            if declared:
                planned.declared = {**planned.declared, **declared}
        visit.plan.calls[remote] = call.key
        return call.key

    def _declared_by_marker(self, visit: _Visit) -> dict[str, str]:
        if not {"image", "env", "volumes"} & set(visit.marker.settings):
            return {}
        try:
            return declared_parts(visit.item.function, self._rootdir)
        except CodeKeyError as error:
            raise PlanningError(str(error)) from None

    def _split(self, visit: _Visit, remote: RemoteFunction, call: Call) -> list[Call]:
        if remote.shard is None or remote.shard not in call.arguments:
            return [call]
        sent = visit.plan.sent_to(remote, remote.shard)
        items = sent.lent.value if sent is not None else None
        if not isinstance(items, list):
            raise PlanningError(
                three_parts(
                    f"shard={remote.shard!r} of {remote.name}: the argument is not a list that exists on this machine",
                    self._shipper.location(remote.function),
                    "shard a list that a local fixture returns or a parametrization sets",
                )
            )
        count = max(1, min(call.environment.max_containers, len(items)))
        bounds = [len(items) * index // count for index in range(count + 1)]
        parts = []
        for index in range(count):
            piece = self._values.data(items[bounds[index] : bounds[index + 1]], remote.shard, remote.shard)
            parts.append(
                replace(
                    call,
                    key=f"{call.key}-{index + 1}of{count}",
                    label=f"{call.label} {index + 1}/{count}",
                    shown=(*call.shown, f"{index + 1}of{count}"),
                    arguments={**call.arguments, remote.shard: piece},
                    tests=[],
                )
            )
        self._batch.shards[call.key] = tuple(part.key for part in parts)
        return parts

    def _apart(self, site: _Site, containers: Sequence[RemoteFunction], environment: Environment) -> list[str]:
        """Return what the test's marker changes: no label says it."""
        marked = site.visit.marker.settings
        if not marked or site.remote is site.visit.marker.remote:
            return []
        try:
            usual = self._environments.of(site.remote, {}, containers, site.item.nodeid)
        except PlanningError:  # only the marker decides
            return [f"{name}={marked[name]!r}" for name in sorted(marked)]
        return [f"{name}={marked[name]!r}" for name in sorted(marked) if getattr(usual, name) != marked[name]]

    def _node(self, site: _Site, environment: Environment, apart: Sequence[str] = ()) -> Node:
        remote, definition = site.remote, site.definition
        if remote.mistake is not None:
            raise PlanningError(remote.mistake)
        body = self._bodies.of(remote)
        shipped = self._shipper.ship(
            body, remote.name, environment.local_packages, remote.role, own_image=environment.image is not None
        )
        behind = parameters_behind(site.item, self._first_names(site), site.chain[:-1], self._bodies.of)
        marker = site.visit.marker
        given = [marker.args[name] for name in parameters_of(body) if name in marker.args]
        parameters = shown(site.item, behind, given if remote is marker.remote else ())
        told_apart = "-".join(part for part in [*apart, *(each.apart for each in parameters)] if part)
        param, takes_request, own = None, False, []
        if definition is not None:
            value = compat.param_of(site.item, definition.argname)
            # From here on the fixture itself requests, no longer the test or fixture that requested it.
            scope = "function" if remote.in_container else ""
            site = replace(site, request=compat.request_for(site.request, definition, value, scope))
            if value is not compat.NOTHING:
                where = f"request.param of {remote.name}"
                lent, param = self._values.encoded(value, where, "request.param", body, environment)
                site.visit.plan.lend(remote, "request.param", lent, site.item.nodeid)
                own.append(value)
        arguments: dict[str, Argument] = {}
        for name, has_default in parameters_of(body).items():
            if name == "request" and definition is not None:
                takes_request = True
                continue
            argument = self._argument(site, name, environment, own, has_default=has_default)
            if argument is not None:
                arguments[name] = argument
        references = [f"{name}={_key(argument)}" for name, argument in sorted(arguments.items())]
        where = self._environments.key(environment)
        key = digest_of(shipped.key, where, param.digest if param else "", *references)
        if body is not remote.function:
            self._mocked.add(key)
        texts = tuple(each.text for each in parameters if each.text)
        label = remote.name + (f"[{'-'.join(texts)}]" if texts else "")
        own_label = remote.name + (f"[{', '.join(map(value_text, own))}]" if own else "")
        # There may be 100,000 of them: what is the same is kept once.
        node = Node(
            key,
            label,
            shipped,
            arguments or NONE,
            environment,
            param,
            takes_request,
            texts,
            label if own_label == label else own_label,
            told_apart,
            site.visit.rank,
        )
        # No image is built for a mock, nor for a replay.
        if self._travels and body is remote.function and (refused := refusal(node)) is not None:
            raise PlanningError(refused)
        return node

    def _first_names(self, site: _Site) -> list[str]:
        """Return the fixture at a place, or for a marker's function the parameters that nothing else gives."""
        if site.chain:
            return [site.chain[-1]]
        parametrized = compat.params_of(site.item)
        return [
            name
            for name, has_default in parameters_of(self._bodies.of(site.remote)).items()
            if name not in site.visit.marker.args and (not has_default or name in parametrized)
        ]

    def _argument(
        self, site: _Site, name: str, environment: Environment, own: list[Any], *, has_default: bool
    ) -> Argument | None:
        """Bind one parameter; a parametrized value is added to `own`."""
        visit, remote = site.visit, site.remote
        marked = remote is visit.marker.remote
        if marked and name in visit.marker.args:
            return self._send(site, name, visit.marker.args[name], environment)
        path = (*site.chain, name)
        definition = definition_at(site.item, path)
        if has_default and not (marked and definition is not None and compat.is_parametrized(definition)):
            return None
        if definition is None and name in site.chain:
            circle = " -> ".join([*site.chain[site.chain.index(name) :], name])
            raise PlanningError(
                three_parts(
                    f"recursive dependency involving fixture {name!r} detected: {circle}",
                    f"{self._shipper.location(remote.function)}, for {site.item.nodeid}",
                    f"break the circle: move what both need of {name!r} into a fixture of its own",
                )
            )
        if definition is None:
            raise PlanningError(
                three_parts(
                    f"parameter {name!r} of {remote.name} is neither a fixture nor parametrized",
                    f"{self._shipper.location(remote.function)}, for {site.item.nodeid}",
                    did_you_mean(site.item, name) or f"define a fixture {name!r}, or parametrize the test with it",
                )
            )
        inner = remote_of(definition.func)
        if what := shorter_lived(site.item, remote, site.definition, name, definition):
            raise PlanningError(
                three_parts(
                    f"remote fixture {remote.name!r} has a wider scope than what it takes: {what}",
                    f"{self._shipper.location(remote.function)}, for {site.item.nodeid}",
                    f"leave scope= out of {remote.name!r}: the same call runs once, whatever the scope",
                )
            )
        if inner is None:
            value = self._local_value(site, name, definition, path)
            by_fixture = not compat.is_parametrized(definition)
            if not by_fixture:
                own.append(value)
            # A fixture that names itself gets a value that the test does not see.
            return self._send(site, name, value, environment, by_fixture=by_fixture and path.count(name) == 1)
        there = _Site(visit, inner, site.request, path)
        if not inner.in_container:
            return FromCall(self._call(there))
        # Not the key of the environment: containers with and without a seed may share a process.
        place = (inner, self._environments.key(environment))
        known = visit.containers.get(place)
        if known is None:
            node = self._node(there, environment)
            as_first_test(self._batch.containers, Container(**node.fields()))
            known = visit.containers[place] = node.key
        return FromContainer(known)

    def _local_value(self, site: _Site, name: str, definition: compat.FixtureDef, path: tuple[str, ...]) -> Any:
        remote = site.remote
        where = f"{self._shipper.location(remote.function)}, for {site.item.nodeid}"
        if compat.is_parametrized(definition):
            return compat.param_of(site.item, name)
        if definition.scope == "function":
            raise PlanningError(
                three_parts(
                    f"remote fixture {remote.name!r} requests the function-scoped local fixture {name!r}: its value "
                    "at test time would differ from the one sent with the batch",
                    where,
                    way_out_of_function_scope(name),
                )
            )
        if leads_to_remote(site.item, *path):
            raise PlanningError(
                three_parts(
                    f"{remote.name} requests the local fixture {name!r}, which needs a result from the GPU: its value "
                    "is not known when the batch is sent",
                    where,
                    f"do that step on the GPU too: make {name!r} a @pytest_modal.fixture",
                )
            )
        return self._value_of(site.item, site.request, name)

    def _send(
        self, site: _Site, name: str, value: object, environment: Environment, *, by_fixture: bool = False
    ) -> Data:
        remote = site.remote
        where = f"argument {name!r} of {remote.name} for {site.item.nodeid}: {name}"
        lent, sent = self._values.encoded(value, where, name, self._bodies.of(remote), environment)
        site.visit.plan.lend(remote, name, lent, site.item.nodeid, by_fixture=by_fixture)
        return sent

    def _containers_in_order(self, node: Node) -> Iterator[str]:
        for key in node.references(FromContainer):
            yield from self._containers_in_order(self._batch.containers[key])
            yield key


def _key(argument: Argument) -> str:
    return argument.digest if isinstance(argument, Data) else argument.key
