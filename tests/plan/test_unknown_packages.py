"""Imports that no image could satisfy are errors of the tests concerned, before anything is sent."""

from __future__ import annotations

import pytest

SUITE = """
    import sys, types
    import pytest, pytest_modal

    sys.modules["made_up"] = types.ModuleType("made_up")

    @pytest_modal.fixture
    def refused():
        import made_up
        return 1

    @pytest_modal.fixture(packages=["made-up"])
    def declared():
        import made_up
        return 2

    @pytest_modal.fixture(mock=lambda: 3)
    def mocked():
        import made_up
        return 4

    @pytest_modal.fixture
    def fine(): return 5

    def test_refused(refused): pass
    def test_mocked(mocked): assert mocked == 3
    def test_fine(fine): assert fine == 5

    pytestmark = pytest.mark.modal_gpu
    """


def test_only_the_tests_that_need_it_have_the_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_suite=SUITE)
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*refused imports 'made_up', which was made at run time on this machine*",
            "*where: test_suite.py:8",
            "*what to do: make 'made_up' in the function's body, or import a module that has a file",
        ]
    )


def test_what_is_declared_is_planned(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_suite=SUITE + "\n    def test_declared(declared): pass\n")
    result = pytester.runpytest("-p", "no:cacheprovider", "--modal-plan", "-k", "declared or refused")
    result.stdout.fnmatch_lines(["*packages: made-up", "*call declared *", "can't be planned: *test_refused"])
    result.stdout.no_fnmatch_line("*can't be planned: *test_declared*")
