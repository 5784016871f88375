"""Python warnings of GPU functions reach pytest's summary and obey its filters, as those of tests do."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

# The suites run in this process: the filters of the run that tests them are not theirs.
pytestmark = pytest.mark.filterwarnings("default")

SUITE = """
    import warnings
    import pytest, pytest_modal

    class OwnWarning(UserWarning): pass

    class OddWarning(RuntimeWarning):
        def __init__(self, code, text): super().__init__(text)

    @pytest_modal.fixture(scope="container")
    def model():
        warnings.warn("model is old", FutureWarning)
        warnings.filterwarnings("ignore", message="noise")
        return 1

    @pytest_modal.fixture(params=["a", "b"])
    def answer(model, request):
        for _ in range(3):
            warnings.warn("deprecated \\x1b[31m", DeprecationWarning)
        warnings.warn("own", OwnWarning)
        warnings.warn(OddWarning(3, "odd"))
        warnings.warn("from afar", stacklevel=50)
        warnings.warn("noise")
        with warnings.catch_warnings(record=True) as caught:
            warnings.warn("caught")
        assert len(caught) == 1
        with pytest_raises(UserWarning):
            warnings.simplefilter("error")
            warnings.warn("raised")
        warnings.simplefilter("ignore")
        warnings.warn("ignored")
        return request.param

    class pytest_raises:
        def __init__(self, kind): self.kind = kind
        def __enter__(self): pass
        def __exit__(self, kind, error, trace): return issubclass(kind, self.kind)
"""
TESTS = """
    def test_first(answer): assert answer
    def test_second(answer): assert answer
"""
# Of each call, at the first test that uses it; what the model says, once.
SUMMARY = [
    "*= warnings summary =*",
    "test_it.py::test_first[a]",
    "  *test_it.py:11: FutureWarning: model is old",
    '    warnings.warn("model is old", FutureWarning)',
    "",
    "test_it.py::test_first[a]",
    "test_it.py::test_first[b]",
    "  *test_it.py:18: DeprecationWarning: deprecated \\x1b[31m",
    '    warnings.warn("deprecated \\x1b[31m", DeprecationWarning)',
    "",
    "test_it.py::test_first[a]",
    "test_it.py::test_first[b]",
    "  *test_it.py:19: OwnWarning: own",
    '    warnings.warn("own", OwnWarning)',
    "",
    "test_it.py::test_first[a]",
    "test_it.py::test_first[b]",
    "  *test_it.py:20: RuntimeWarning: test_it.OddWarning: odd",
    '    warnings.warn(OddWarning(3, "odd"))',
    "",
    "test_it.py::test_first[a]",
    "test_it.py::test_first[b]",
    "  *test_it.py:21: UserWarning: from afar",
    '    warnings.warn("from afar", stacklevel=50)',
    "",
    "-- Docs: *",
]


@pytest.mark.parametrize("options", [[], ["-n2"], ["--modal"], ["--modal-inline"]], ids=" ".join)
def test_each_is_in_the_summary_once_for_each_call_and_place(
    pytester: pytest.Pytester, modal_server: LoopbackModal, options: list[str]
) -> None:
    pytester.makepyfile(test_it=SUITE + TESTS)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:asyncio", *options, timeout=90)
    result.assert_outcomes(passed=4, warnings=9)
    if options != ["-n2"]:  # whichever worker is first
        assert_lines(result.outlines, SUMMARY, consecutive=True)


@pytest.mark.parametrize(
    ("filters", "outcomes"),
    [
        (["-W", "ignore"], {"passed": 4}),
        (["-W", "error::FutureWarning"], {"passed": 2, "errors": 2, "warnings": 8}),
        (["-W", "error::DeprecationWarning"], {"errors": 4, "warnings": 7}),
        (["-W", "error:from"], {"errors": 4, "warnings": 7}),
        (["-W", "error:caught", "-W", "error:raised", "-W", "error:ignored"], {"passed": 4, "warnings": 9}),
        (["-o", "filterwarnings=error::test_it.OwnWarning"], {"errors": 4, "warnings": 7}),
        # By the module that raised them.
        (["-W", "ignore::DeprecationWarning:test_it"], {"passed": 4, "warnings": 7}),
        (["-W", "ignore::DeprecationWarning:other"], {"passed": 4, "warnings": 9}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_filters_of_this_machine_decide(
    pytester: pytest.Pytester, filters: list[str], outcomes: dict[str, int]
) -> None:
    pytester.makepyfile(test_it=SUITE + TESTS)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:asyncio", *filters)
    result.assert_outcomes(**outcomes)


def test_an_error_names_the_call_and_the_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it=SUITE
        + """
    def test_first(answer): assert answer

    @pytest.mark.filterwarnings("error::test_it.OwnWarning", "ignore::RuntimeWarning")
    def test_strict(answer): assert answer
    """
    )
    result = pytester.runpytest("-p", "no:randomly", "-p", "no:asyncio")
    # The first test has shown the warnings; the second one's own filter holds all the same.
    result.assert_outcomes(passed=2, errors=2, warnings=9)
    assert_lines(
        result.outlines,
        [
            "OwnWarning: own (in answer[a])",
            "  where: *test_it.py:19",
            "  what to do: fix its cause, or keep it a warning: -W default::test_it.OwnWarning, or filterwarnings",
        ],
        consecutive=True,
    )


def test_a_failed_call_shows_its_warnings_and_its_own_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import warnings
        import pytest

        def fails():
            warnings.warn("hot")
            raise ValueError("boom")

        @pytest.mark.modal_gpu(function=fails)
        def test_it(modal_result): pass
        """
    )
    result = pytester.runpytest("-p", "no:asyncio", "-Werror")
    result.assert_outcomes(errors=1)
    assert_lines(result.outlines, ["fails raised ValueError"])
    result = pytester.runpytest("-p", "no:asyncio")
    result.assert_outcomes(errors=1, warnings=1)


def test_a_flood_ends_and_what_cannot_be_described_breaks_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import warnings
        import pytest

        class Broken(UserWarning):
            def __str__(self): raise RuntimeError

        def floods():
            for number in range(1000):
                warnings.warn(f"number {number}")

        def breaks():
            try:
                warnings.warn(Broken())
            except RuntimeError:  # as in Python
                return 1

        @pytest.mark.modal_gpu(function=floods)
        def test_flood(modal_result): assert modal_result is None

        @pytest.mark.modal_gpu(function=breaks)
        def test_break(modal_result): assert modal_result == 1
        """
    )
    result = pytester.runpytest("-p", "no:randomly", "-p", "no:asyncio", "-rP")
    result.assert_outcomes(passed=2, warnings=100)
    # The others are printed in the container.
    assert_lines(result.outlines, ["*Captured modal stderr setup*", "*test_it.py:9: UserWarning: number 999"])


def test_resumed_calls_warn_again_and_replayed_ones_are_silent(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE + TESTS)
    options = ["-p", "no:randomly", "-p", "no:asyncio"]
    pytester.runpytest(*options, "--modal-record").assert_outcomes(passed=4, warnings=9)
    pytester.runpytest(*options, "--modal-resume").assert_outcomes(passed=4, warnings=9)
    pytester.runpytest(*options, "--modal-mode=replay").assert_outcomes(passed=4, warnings=0)
