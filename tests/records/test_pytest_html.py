"""pytest-html's report of a suite whose tests write figures and tables and use gates."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SUITE = f"""
    import base64, pytest

    PIXEL = base64.b64decode("{PIXEL}")
    HOSTILE = "<script>alert(1)</script>\\x1b[31m\\x00<img src=x onerror=alert(2)>"

    def test_figure(output_dir, save_csv, save_json):
        (output_dir / "a curve #1.png").write_bytes(PIXEL)
        (output_dir / "drawn.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(3)</script></svg>")
        save_csv("rows.csv", [{{"n": n, "text": HOSTILE}} for n in range(20)])
        save_json("facts.json", {{"a": 1}})

    def test_gate(accuracy_gate):
        accuracy_gate("toy", [dict(id=n, correct=True, input=str(n)) for n in range(50)])

    def test_neither():
        pass
"""


@pytest.fixture(autouse=True)
def _with_all_plugins(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_ADDOPTS")


def extras(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the extras of each test in a report."""
    blob = re.search(r'data-jsonblob="([^"]*)"', path.read_text())
    assert blob is not None
    tests = json.loads(html.unescape(blob[1]))["tests"]
    return {name: [each for row in rows for each in row["extras"]] for name, rows in tests.items()}


def run(pytester: pytest.Pytester, *options: str) -> dict[str, list[dict[str, Any]]]:
    pytester.makepyfile(test_it=SUITE)
    pytester.runpytest_subprocess("-pno:randomly", "--html=reports/report.html", *options).assert_outcomes(
        passed=3, warnings=1
    )
    return extras(pytester.path / "reports" / "report.html")


@pytest.mark.parametrize("workers", [[], ["-n2"]])
def test_a_self_contained_report_embeds_figures_and_shows_the_first_rows_of_tables(
    pytester: pytest.Pytester, workers: list[str]
) -> None:
    found = run(pytester, "--self-contained-html", *workers)
    (image,) = [each for each in found["test_it.py::test_figure"] if each["format_type"] == "image"]
    assert image["content"] == f"data:image/png;base64,{PIXEL}"
    assert image["name"] == "a curve #1.png"
    shown = "".join(each["content"] for each in found["test_it.py::test_figure"] if each["format_type"] == "html")
    assert "<caption>rows.csv, the first 8 rows</caption>" in shown
    assert shown.count("<tr>") == 9
    assert "facts.json" in shown
    assert "drawn.svg" in shown
    assert not any(each["format_type"] == "url" for each in found["test_it.py::test_figure"])
    (gate,) = found["test_it.py::test_gate"]
    assert "<td>toy</td><td>NO BASELINE</td><td>none</td><td>100.0%</td>" in gate["content"]
    assert found["test_it.py::test_neither"] == []


def test_another_report_refers_to_the_files(pytester: pytest.Pytester) -> None:
    found = run(pytester)["test_it.py::test_figure"]
    (image,) = [each for each in found if each["format_type"] == "image"]
    links = {each["name"]: each["content"] for each in found if each["format_type"] == "url"}
    assert image["content"] == links["a curve #1.png"]
    assert {*links} == {"a curve #1.png", "drawn.svg", "rows.csv", "facts.json"}
    for link in links.values():
        assert (pytester.path / "reports" / unquote(link)).is_file()
        assert not re.search(r"""[\s"'<>#?]""", link)


@pytest.mark.parametrize("options", [[], ["--self-contained-html"]])
def test_what_a_model_wrote_is_inert_in_it(pytester: pytest.Pytester, options: list[str]) -> None:
    found = run(pytester, *options)
    shown = "".join(each["content"] for each in found["test_it.py::test_figure"] if each["format_type"] == "html")
    assert "&lt;script&gt;alert(1)" in shown
    assert not re.search(r"<(script|img|svg)", shown)
    assert "\x1b" not in shown
    assert "\x00" not in shown


def test_a_test_whose_name_pytest_html_can_not_write_gets_none(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import base64, pytest

        @pytest.mark.parametrize("text", [b"\\\\x"])
        def test_it(output_dir, text): (output_dir / "a.png").write_bytes(b"")
        """
    )
    result = pytester.runpytest_subprocess("--html=report.html")
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()


def test_a_report_that_is_not_asked_for_costs_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it(output_dir, pytestconfig):
            assert pytestconfig.pluginmanager.has_plugin("html")
            assert not pytestconfig.pluginmanager.has_plugin("pytest_modal_html")
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
