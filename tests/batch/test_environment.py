"""Environments: which calls can share a container, and which results are the same."""

from __future__ import annotations

from pytest_modal.batch.environment import Environment


def test_a_seed_makes_another_result_in_the_same_container() -> None:
    plain, seeded, other = Environment(), Environment(seed=0), Environment(seed=1)
    assert plain.key == seeded.key == other.key
    assert len({plain.declared, seeded.declared, other.declared}) == 3


def test_an_environment_without_a_seed_is_declared_as_it_was_before_there_were_seeds() -> None:
    assert Environment().declared == Environment().key == "844f4ef6535ce40c7bbda55c2e40eeb8"
