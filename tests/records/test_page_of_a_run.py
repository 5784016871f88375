"""Each run writes its page, where it is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest
from literal_lines import assert_lines
from recorded import SUITE


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite whose runs write pages as they do for users."""
    monkeypatch.delenv("PYTEST_MODAL_REPORT")
    pytester.makepyfile(test_it=SUITE)
    return pytester


def pages(suite: pytest.Pytester) -> list[str]:
    return sorted(path.relative_to(suite.path).as_posix() for path in suite.path.rglob("*.html"))


@pytest.mark.parametrize("options", [(), ("-n2",), ("-q",)], ids=["alone", "xdist", "quiet"])
def test_a_run_writes_its_page_and_names_it(suite: pytest.Pytester, options: tuple[str, ...]) -> None:
    result = suite.runpytest_subprocess(*options, timeout=90)
    assert_lines(result.outlines, ["report: modal_output/report.html"])
    page = suite.path.joinpath("modal_output/report.html").read_text(encoding="utf-8")
    for seen in ("test_doubled", "ZeroDivisionError: by zero", "about to fail", "not today", "doubled.json", "even"):
        assert seen in page


def test_the_page_of_a_run_that_is_interrupted_has_what_is_known(suite: pytest.Pytester) -> None:
    suite.makepyfile(test_it=SUITE + "\n    def test_ends(doubled): raise KeyboardInterrupt\n")
    suite.runpytest_subprocess("-p", "no:randomly", timeout=90)
    page = suite.path.joinpath("modal_output/report.html").read_text(encoding="utf-8")
    assert "test_doubled" in page
    assert "interrupted" in page


@pytest.mark.parametrize(
    ("option", "variable", "ini", "expected"),
    [
        ("--modal-report=../pages/mine.html", "off", "off", ["pages/mine.html"]),
        ("--modal-report=off", "", "", []),
        (None, "pages/of variable.html", "off", ["pages/of variable.html"]),
        (None, "", "pages/of_ini.html", ["pages/of_ini.html"]),
        (None, "", "Off", []),
    ],
)
def test_where_the_page_goes(
    suite: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    option: str | None,
    variable: str,
    ini: str,
    expected: list[str],
) -> None:
    """A path of the command line is relative to where it was typed, the others to the rootdir."""
    suite.makeini(f"[pytest]\nmodal_report = {ini}\n")
    monkeypatch.setenv("PYTEST_MODAL_REPORT", variable)
    suite.mkdir("below")
    monkeypatch.chdir("below")
    result = suite.runpytest("-k", "test_gate", "--rootdir", "..", "..", *([option] if option else []))
    result.assert_outcomes(passed=1, deselected=6, warnings=1)
    assert pages(suite) == expected


def test_a_page_that_can_not_be_written_is_a_line(suite: pytest.Pytester) -> None:
    Path(suite.path, "file").touch()
    result = suite.runpytest("-k", "test_doubled", "--modal-report=file/page.html")
    result.assert_outcomes(passed=1, deselected=6)
    assert_lines(result.outlines, ["the page of the run was not written: *"])
    assert not [line for line in result.outlines if line.startswith("report: ")]
