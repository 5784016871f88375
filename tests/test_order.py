"""The order of a batch, in which container fixtures are built once and released early."""

from __future__ import annotations

import random
from collections import Counter

from pytest_modal.batch import Batch, Call, Container, Environment, FromCall, FromContainer, Outcome, ShippedFunction
from pytest_modal.dispatch import Dispatch
from pytest_modal.order import sort_calls

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
    assert keys in (["5", "1", "3", "2", "4"],)


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


def test_each_model_is_released_after_its_last_user_only() -> None:
    whole = batch(call("1", "a"), call("2", "a", "b"), call("3", "b"), call("4"), call("5", "c"))
    sort_calls(whole)
    dispatch = Dispatch(whole, lambda key: b"")
    released: Counter[str] = Counter()
    for each in whole.calls:
        assert not set(each.containers) & set(released)
        released.update(dispatch.request(each, ())["release"])
        dispatch.finished(each, Outcome(each.key, "ok"))
    assert released == {"a": 1, "b": 1, "c": 1}


def test_a_model_whose_last_user_is_blocked_is_released_all_the_same() -> None:
    whole = batch(call("bad"), call("user", "a"), call("blocked", "a", after=("bad",)), call("last"))
    dispatch = Dispatch(whole, lambda key: b"")
    bad, user, blocked, last = whole.calls
    dispatch.finished(bad, Outcome("bad", "raised"))
    assert dispatch.request(user, ())["release"] == []
    dispatch.finished(user, Outcome("user", "ok"))
    outcome = dispatch.blocked(blocked)
    assert outcome is not None
    assert outcome.status == "dependency failed"
    dispatch.finished(blocked, outcome)
    assert dispatch.request(last, ())["release"] == ["a"]
