"""Environments: which calls can share a container, and which results are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_modal.batch.environment import Environment


def test_a_seed_makes_another_result_in_the_same_container() -> None:
    plain, seeded, other = Environment(), Environment(seed=0), Environment(seed=1)
    assert plain.key == seeded.key == other.key
    assert len({plain.declared, seeded.declared, other.declared}) == 3


class _Alike:
    """As images and secrets of Modal: one says of itself what another does."""

    def __repr__(self) -> str:
        return "Image(local files)"


@pytest.mark.parametrize(
    "settings",
    [lambda each: {"image": each}, lambda each: {"secrets": (each,)}, lambda each: {"volumes": (("/data", each),)}],
    ids=["image", "secrets", "volumes"],
)
def test_objects_that_say_the_same_are_still_two(settings: Callable[[object], dict[str, Any]]) -> None:
    one, other = _Alike(), _Alike()
    assert Environment(**settings(one)).key == Environment(**settings(one)).key
    assert Environment(**settings(one)).key != Environment(**settings(other)).key
    assert Environment(**settings(one)).declared == Environment(**settings(other)).declared


def test_what_decides_on_the_image_is_shared_by_environments_that_differ_in_other_things() -> None:
    plain, image = Environment(), _Alike()
    assert plain.image_group == Environment(timeout=1, seed=3, env=(("A", "b"),), round=2, secrets=(image,)).image_group
    others = [
        Environment(gpu="L4"),
        Environment(packages=("numpy",)),
        Environment(image=image),
        Environment(image=_Alike()),
    ]
    assert len({each.image_group for each in [plain, *others]}) == 5


def test_an_environment_without_a_seed_is_declared_as_it_was_before_there_were_seeds() -> None:
    assert Environment().declared == Environment().key == "844f4ef6535ce40c7bbda55c2e40eeb8"
