"""One cause is reported once: the first test carries the text, the others point to it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from literal_lines import assert_lines
from suite_run import section

SUITE = """
    import pytest
    import pytest_modal


    @pytest_modal.fixture(scope="container")
    def model():
        return load("gpt2")


    def load(name):
        print("looking for", name)
        raise OSError("no such weights\\nin the hub")


    @pytest_modal.fixture
    def square(model, n):
        return n * n


    @pytest.mark.modal_gpu
    @pytest.mark.parametrize("n", range({tests}))
    def test_sq(square, n):
        assert square == n * n
"""
HEADLINE = "OSError: no such weights (in model)"


def write_suite(pytester: pytest.Pytester, tests: int) -> None:
    pytester.makepyfile(test_it=SUITE.replace("{tests}", str(tests)))


def test_the_first_test_carries_the_text_and_the_others_point_to_it(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 3)
    result = pytester.runpytest("--junitxml=report.xml", "-p", "no:randomly")
    result.assert_outcomes(errors=3)
    assert_lines(
        section(result, "ERROR at setup of test_sq[0]"),
        [
            "container fixture model, which square* uses, raised OSError",
            "  where: test_it.py:5, in container local-1",
            "Remote traceback (most recent call last):",
            '    return load("gpt2")',
            '    raise OSError("no such weights\\nin the hub")',
            "OSError: no such weights",
            "in the hub",
            "looking for gpt2",
        ],
    )
    for number in (1, 2):
        assert section(result, f"ERROR at setup of test_sq[{number}]")[:1] == [
            f"as in test_it.py::test_sq[0]: {HEADLINE}"
        ]
    assert result.stdout.str().count("looking for gpt2") == 1
    assert_lines(
        section(result, "short test summary info"),
        [
            f"ERROR test_it.py::test_sq[0] - {HEADLINE}",
            f"ERROR test_it.py::test_sq[1] - {HEADLINE}, as in tes...",
        ],
        consecutive=True,
    )
    first, second, _ = ET.parse(pytester.path / "report.xml").iter("error")
    assert first.get("message") == f'failed on setup with "{HEADLINE}"'
    assert "Remote traceback" in str(first.text)
    assert second.text == f"as in test_it.py::test_sq[0]: {HEADLINE}"


def test_many_tests_of_one_cause_are_a_line_with_their_number(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 1_200)
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(errors=1_200)
    assert len(result.outlines) < 100
    assert section(result, "ERROR at setup of 1,194 more tests")[:1] == ["as in test_it.py::test_sq[0]"]
    assert_lines(
        section(result, "short test summary info"),
        [
            f"ERROR test_it.py::test_sq[5] - {HEADLINE}*",
            "ERROR test_it.py (1,194 more tests) - as in test_it.py::test_sq[0]",
        ],
        consecutive=True,
    )


def test_all_are_listed_when_pytest_is_asked_for_more(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 20)
    result = pytester.runpytest("-vv", "-p", "no:randomly")
    assert section(result, "ERROR at setup of test_sq[19]")[:1] == [f"as in test_it.py::test_sq[0]: {HEADLINE}"]


def test_without_a_token_two_thousand_tests_are_a_screen_full(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 2_000)
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly")
    assert result.ret == 70
    assert len(result.outlines) < 100
    assert_lines(
        result.outlines,
        [
            "there is no token for Modal on this machine",
            "  what to do: run `modal token new`*",
            "as in test_it.py::test_sq[0]: there is no token for Modal on this machine",
            "ERROR test_it.py::test_sq[0] - there is no token for Modal on this machine",
            "ERROR test_it.py (1,994 more tests) - as in test_it.py::test_sq[0]",
        ],
    )


def test_workers_of_xdist_report_a_cause_once_between_them(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 6)
    result = pytester.runpytest_subprocess("-n", "2")
    result.assert_outcomes(errors=6)
    assert result.stdout.str().count("Remote traceback") == 1
    assert result.stdout.str().count("looking for gpt2") == 1
    assert sum(line.startswith("as in test_it.py::test_sq[") for line in result.outlines) == 5


@pytest.mark.parametrize(
    ("style", "lines"),
    [
        (
            "short",
            [
                "container fixture model, which square* uses, raised OSError",
                "  where: test_it.py:5, in container local-1",
                "  what to do: *",
                "",
                '  File "*test_it.py", line 12, in load',
                '    raise OSError("no such weights\\nin the hub")',
                "OSError: no such weights",
                "in the hub",
            ],
        ),
        ("line", [f"test_it.py:12: {HEADLINE}"]),
    ],
)
def test_the_style_of_tracebacks_is_obeyed(pytester: pytest.Pytester, style: str, lines: list[str]) -> None:
    write_suite(pytester, 1)
    result = pytester.runpytest(f"--tb={style}", "--show-capture=no")
    report = section(result, "ERROR at setup of test_sq[0]")
    assert_lines(report, lines, consecutive=True)
    assert len([line for line in report if line]) == len([line for line in lines if line])


def test_no_traceback_is_nothing_but_the_short_summary(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 1)
    result = pytester.runpytest("--tb=no")
    assert "Remote traceback" not in result.stdout.str()
    assert_lines(result.outlines, [f"ERROR test_it.py::test_sq[0] - {HEADLINE}"])


def test_a_test_that_was_expected_to_fail_carries_no_text_for_the_others(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 0)
    with (pytester.path / "test_it.py").open("a") as file:
        file.write(
            '\n\nn = pytest.fixture(lambda: 1, scope="session")\n\n\n'
            "@pytest.mark.xfail\ndef test_expected(square): pass\n\n\ndef test_other(square): pass\n"
        )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(errors=1, xfailed=1, skipped=1)
    assert "Remote traceback (most recent call last):" in section(result, "ERROR at setup of test_other")


MISTAKES = """
    import pytest
    import pytest_modal


    @pytest_modal.fixture(timeout=1)
    def work(kind):
        import os, signal, time
        if kind == "raise":
            raise ValueError("boom")
        if kind == "bare":
            raise KeyError
        if kind == "set":
            return [{1, 2}]
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "endless":
            time.sleep(60)


    @pytest.fixture(scope="session", params=["raise", "bare", "set", "killed", "endless"])
    def kind(request):
        return request.param


    def test_it(work): pass


    @pytest_modal.fixture
    def after(tmp_path):
        return 1


    @pytest.mark.parametrize("n", range(3))
    def test_refused(after, n): pass
"""


def test_the_short_summary_leads_with_the_news(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    pytester.makepyfile(test_it=MISTAKES)
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(errors=8)
    assert_lines(
        section(result, "short test summary info"),
        [
            "ERROR test_it.py::test_it[raise] - ValueError: boom (in work*)",
            "ERROR test_it.py::test_it[bare] - KeyError (in work*)",
            "ERROR test_it.py::test_it[set] - not data: work[0]: set is not data* (in work*)",
            "ERROR test_it.py::test_it[killed] - crashed: the worker process was killed by SIGKILL (*) (in work*)",
            "ERROR test_it.py::test_it[endless] - timed out after 1 s (in work*)",
            "ERROR test_it.py::test_refused[0] - *tmp_path*",
            "ERROR test_it.py::test_refused[1] - *, as in test_it.py::test_refused[0]",
            "ERROR test_it.py::test_refused[2] - *, as in test_it.py::test_refused[0]",
        ],
        consecutive=True,
    )


def test_other_plugins_see_every_report(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 20)
    pytester.makeconftest(
        """
        def pytest_terminal_summary(terminalreporter):
            terminalreporter.write_line(f"{len(terminalreporter.stats['error'])} errors for others")
        """
    )
    assert_lines(pytester.runpytest().outlines, ["20 errors for others", "*= 20 errors in *"])


def test_lost_files_of_many_calls_are_one_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest


        def save(n):
            with open(f"{n}.txt", "w") as file:  # modal: allow PM101
                file.write("x")


        @pytest.mark.parametrize("n", range(30))
        @pytest.mark.modal_gpu(function=save)
        def test_it(modal_result, n): pass
        """
    )
    result = pytester.runpytest("-p", "no:randomly")
    assert result.stdout.str().count("lost with the container") == 1
    assert_lines(
        result.outlines,
        ["modal: warning: 30 calls of save (test_it.py:4) wrote *.txt, *.txt and 25 more, lost with the container: *"],
    )
