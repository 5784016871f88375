"""Top-level code that a function needs runs again in the container: its output, errors and time are the call's."""

from __future__ import annotations

import pytest
from loopback_modal import LoopbackModal

SUITE = """
    import time
    import pytest_modal

    THERE = "/shipped/" in __file__
    PRINTED = print("at the top" if THERE else ""), object()  # no data: the statement travels
    SLEPT = time.sleep(60 if THERE else 0), object()
    BROKEN = 1 / (0 if THERE else 1)

    @pytest_modal.fixture
    def printing(): return PRINTED[0]

    @pytest_modal.fixture(timeout=2)
    def slow(): return SLEPT[0]

    @pytest_modal.fixture
    def broken(): return BROKEN

    @pytest_modal.fixture(scope="container")
    def model(): return BROKEN

    @pytest_modal.fixture
    def answer(model): return 1

    @pytest_modal.fixture
    def fine(): return 1

    def test_printing(printing): assert printing is None
    def test_slow(slow): pass
    def test_broken(broken): pass
    def test_answer(answer): pass
    def test_fine(fine): assert fine == 1
"""


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_what_happens_at_the_top_of_a_file_is_told(
    pytester: pytest.Pytester, modal_server: LoopbackModal, mode: str
) -> None:
    pytester.makepyfile(test_it=SUITE)
    result = pytester.runpytest_subprocess(f"--modal-mode={mode}", "-p", "no:randomly", "-rP", timeout=90)
    result.assert_outcomes(passed=2, errors=3)
    text = result.stdout.str()
    assert "at the top" in text
    assert "slow timed out after 2 s (phase: import)" in text
    assert "broken raised ZeroDivisionError" in text
    assert "container fixture model, which answer uses, raised ZeroDivisionError" in text
    result.stdout.fnmatch_lines([f'  File "{pytester.path}/test_it.py", line 7, in <module>', "    BROKEN = 1 / *"])
