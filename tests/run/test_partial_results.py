"""``on_error="value"``: a call that fails is data for the tests, and the others keep their results."""

from __future__ import annotations

import textwrap

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

import pytest_modal

CANDIDATES = """
    import pytest
    import pytest_modal
    from pytest_modal import Failure

    KINDS = ["good", "raise", "hang", "crash", "set", "assert"]

    @pytest.fixture(scope="session")
    def kinds(): return KINDS

    @pytest_modal.fixture(params=KINDS, on_error="value", timeout=3)
    def score(request):
        import os, time
        print("scoring", request.param)
        if request.param == "raise": raise ValueError("boom")
        if request.param == "hang": time.sleep(60)
        if request.param == "crash": os._exit(3)
        if request.param == "set": return {1}
        assert request.param == "good", "bad score"
        return 0

    @pytest_modal.fixture(params=["good", "raise"])
    def answer(request):
        if request.param == "raise": raise ValueError("boom")
        return [request.param]

    @pytest_modal.fixture(on_error="value")
    def graded(answer): return len(answer)

    @pytest_modal.fixture(shard="kinds", max_containers=3, on_error="value")
    def rows(kinds):
        if "hang" in kinds: raise RuntimeError("no")
        return [{"kind": kind} for kind in kinds]

    @pytest_modal.fixture
    def summed(score): return score

    def halve(n): return 1 / n

    def test_score(score, request):
        kind = request.node.callspec.params["score"]
        if kind == "good":
            assert score == 0 and not isinstance(score, Failure)
            return
        assert isinstance(score, Failure) and not score
        assert score.call == f"score[{kind}]" and score.output.startswith(f"scoring {kind}\\n")
        assert score.status == {
            "raise": "raised", "hang": "timed out", "crash": "crashed", "set": "not data", "assert": "raised"
        }[kind]
        assert score.type == {"raise": "ValueError", "assert": "AssertionError"}.get(kind, "")
        if kind == "raise":
            assert repr(score) == "<Failure of score[raise]: ValueError: boom>" and score.error == "ValueError: boom"
            assert score.traceback.startswith("Remote traceback") and "in score" in score.traceback
        if kind == "hang":
            assert score.message == "timed out after 3 s (phase: call)"
        if kind == "set":
            assert score.message == "score: set is not data; return sorted(score)"

    def test_rows(rows, kinds):
        assert [row and row["kind"] for row in rows[:2] + rows[4:]] == ["good", "raise", "set", "assert"]
        assert [repr(row) for row in rows[2:4]] == 2 * ["<Failure of rows 2/3: RuntimeError: no>"]
        assert len(rows) == len(kinds)

    def test_graded(graded):
        assert graded == 1 or graded.status == "dependency failed" and graded.error.endswith("ValueError: boom")

    def test_answer_too(graded, answer): pass

    def test_summed(summed): pass

    @pytest.mark.parametrize("n", [1, 0])
    @pytest.mark.modal_gpu(function=halve, on_error="value")
    def test_halve(modal_result, n):
        assert modal_result == 1 or modal_result.type == "ZeroDivisionError"
    """


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_failed_candidates_are_data_and_take_no_good_ones_along(
    pytester: pytest.Pytester, modal_server: LoopbackModal, mode: str
) -> None:
    pytester.makepyfile(CANDIDATES)
    result = pytester.runpytest_subprocess(f"--modal-mode={mode}", "-p", "no:randomly", timeout=120)
    # What does not declare it fails as ever: a test that requests a failed answer itself, a fixture made of a score.
    result.assert_outcomes(passed=6 + 1 + 2 + 1 + 1 + 2, errors=1 + 4, failed=1)


def test_an_infrastructure_error_is_no_data(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(on_error="value")
        def score(): return 1

        def test_score(score): pass
        """
    )
    result = pytester.runpytest_subprocess("--modal", timeout=90)  # there is no Modal at that address
    result.assert_outcomes(errors=1)
    replayed = pytester.runpytest_subprocess("--modal-mode=replay")
    replayed.assert_outcomes(errors=1)


def test_a_failed_call_is_run_again_when_resumed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest_modal

        @pytest_modal.fixture(on_error="value", params=[1, 2])
        def score(request):
            from pathlib import Path
            path = Path({str(pytester.path / "seen")!r})
            if request.param == 2 and not path.exists():
                path.touch()
                raise ValueError
            return request.param

        def test_score(score): print("got", repr(score))
        """
    )
    first = pytester.runpytest_subprocess("-p", "no:randomly", "-rP")
    assert_lines(first.outlines, ["got 1", "got <Failure of score[2]: ValueError>"])
    second = pytester.runpytest_subprocess("-p", "no:randomly", "-rP", "--modal-resume")
    assert_lines(second.outlines, ["modal: 1 of 2 calls reused from earlier runs, 1 to run", "got 1", "got 2"])


REFUSED = {
    "unknown": ('@pytest_modal.fixture(on_error="valeu")', "on_error='valeu'", "did you mean 'value'?"),
    "container": (
        '@pytest_modal.fixture(scope="container", on_error="value")',
        'on_error="value" on a container fixture, whose value no test gets',
        'set on_error="value" on the fixtures that use it: its failure is theirs too',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_on_error_where_it_can_do_nothing_is_refused(pytester: pytest.Pytester, name: str) -> None:
    decorator, what, remedy = REFUSED[name]
    pytester.makepyfile(textwrap.dedent(f"import pytest_modal\n\n{decorator}\ndef f(): pass\n\ndef test_it(): pass\n"))
    result = pytester.runpytest("-p", "no:asyncio")
    assert_lines(
        result.outlines,
        [f"E   pytest_modal.declare.keywords.DeclarationError: @pytest_modal.fixture 'f': {what}", f"E     *{remedy}"],
    )


def test_a_failure_is_false_and_has_a_short_repr() -> None:
    failure = pytest_modal.Failure("f[1]", "raised", "ValueError", "x" * 500 + "\nmore")
    assert not failure
    assert repr(failure) == f"<Failure of f[1]: ValueError: {'x' * 85}...>"
    assert failure.error == "ValueError: " + "x" * 500 + "\nmore"
