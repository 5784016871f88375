"""The order of a batch, in which container fixtures are built once and released early."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

from pytest_modal.batch.calls import Batch, Call, Container, FromCall, FromContainer, ShippedFunction
from pytest_modal.batch.environment import Environment
from pytest_modal.plan.order import sort_calls
from pytest_modal.remote import data
from pytest_modal.remote.worker import Worker
from pytest_modal.run.dispatch import Dispatch

T4, H100 = Environment(gpu="T4"), Environment(gpu="H100")


def call(key: str, *containers: str, after: tuple[str, ...] = (), environment: Environment = T4) -> Call:
    function = ShippedFunction("f", "f", "test_it.py:1", b"")
    arguments = {name: FromContainer(name) for name in containers} | {name: FromCall(name) for name in after}
    return Call(key, key, function, arguments, environment, containers=containers)


def batch(*calls: Call) -> Batch:
    function = ShippedFunction("c", "c", "test_it.py:2", b"")
    containers = {key: Container(key, key, function, {}, each.environment) for each in calls for key in each.containers}
    return Batch(list(calls), containers)


def order(*calls: Call) -> list[str]:
    ordered = batch(*calls)
    sort_calls(ordered)
    return [each.key for each in ordered.calls]


def test_users_of_a_model_follow_each_other() -> None:
    keys = order(call("1", "a"), call("2", "b"), call("3", "a"), call("4", "b"), call("5"))
    assert keys == ["1", "3", "2", "4", "5"]


def test_what_a_call_depends_on_comes_first_and_models_are_not_mixed_needlessly() -> None:
    keys = order(call("late", "a", after=("early",)), call("early", "a"), call("other", "b"))
    assert keys.index("early") < keys.index("late")
    assert keys[:2] == ["early", "late"] or keys[0] == "other"


def test_the_order_of_the_tests_does_not_matter() -> None:
    calls = [call(str(n), "ab"[n % 2], environment=(T4, H100)[n % 3 == 0]) for n in range(20)]
    expected = order(*calls)
    for seed in range(5):
        random.Random(seed).shuffle(calls)
        assert order(*calls) == expected


def test_calls_run_in_the_order_of_their_tests_by_line_number() -> None:
    calls = [call(name, *models) for name, *models in (("a", "z"), ("b",), ("c", "y"), ("d", "z"), ("e", "x", "y"))]
    for number, each in enumerate(calls):
        each.rank = (("test_it.py",), 8 + number)
    expected = ["a", "d", "b", "c", "e"]  # the second user of z follows the first
    assert order(*calls) == expected
    for each in calls:
        each.rank = (each.rank[0], each.rank[1] + 90)
    assert order(*reversed(calls)) == expected


def test_many_models_are_put_in_order_in_no_time() -> None:
    started = time.perf_counter()
    keys = order(*(call(f"{n:05}", f"model{n}") for n in range(10_000)))
    assert keys == sorted(keys)
    assert time.perf_counter() - started < 5


def test_each_call_says_up_to_where_its_models_are_needed() -> None:
    whole = batch(call("1", "a"), call("2", "a", "b"), call("3", "b"), call("4"), call("5", "c"))
    sort_calls(whole)
    dispatch = Dispatch(whole, lambda key: b"")
    requests = [dispatch.request(each, ()) for each in whole.calls]
    assert [request["position"] for request in requests] == [0, 1, 2, 3, 4]
    until = {each["key"]: each["until"] for request in requests for each in request["containers"]}
    last = {key: max(n for n, each in enumerate(whole.calls) if key in each.containers) for key in "abc"}
    assert until == last


def container_requests(*calls: Call) -> list[dict[str, Any]]:
    """Return the requests of a batch whose container fixtures say what becomes of them."""
    whole = batch(*calls)
    sort_calls(whole)
    dispatch = Dispatch(whole, lambda key: b"")
    return [dispatch.request(each, ()) for each in whole.calls]


ALIVE: list[str] = []


def fixture(key: str) -> Iterator[str]:
    ALIVE.append(key)
    yield key
    ALIVE.remove(key)


def run(requests: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Hand requests to a worker; return what was alive after each."""
    ALIVE.clear()
    worker, seen = Worker("here"), []
    worker.adopt("c", fixture)
    worker.adopt("f", int)
    for request in requests:
        for spec in request["containers"]:
            request["blobs"][spec["key"]] = b"".join(data.encode(spec["key"]))
            spec["arguments"] = {"key": ("data", spec["key"])}
        request["call"]["arguments"] = {}
        reply, _ = worker.handle(request)
        assert reply["status"] == "ok", reply
        assert worker.release(request["position"]) == []
        seen.append((request["call"]["key"], sorted(ALIVE)))
    return seen


def test_a_model_is_released_right_after_its_last_user() -> None:
    requests = container_requests(call("1", "a"), call("2", "a", "b"), call("3", "b"), call("4"), call("5", "c"))
    assert run(requests) == [("1", ["a"]), ("2", ["b"]), ("3", []), ("4", []), ("5", [])]


def test_a_container_that_never_gets_the_last_user_releases_all_the_same() -> None:
    requests = container_requests(call("1", "a"), call("2", "a"), call("3", "b"), call("4", "b"))
    assert run([requests[0], requests[2]]) == [("1", ["a"]), ("3", ["b"])]


def test_a_call_that_is_tried_again_late_builds_its_model_again_and_releases_it() -> None:
    requests = container_requests(call("1", "a"), call("2", "a"), call("3", "b"), call("4", "b"))
    assert run([*requests[1:3], requests[0], requests[3]])[1:] == [("3", ["b"]), ("1", ["a", "b"]), ("4", [])]
