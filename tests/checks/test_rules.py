"""What each rule finds, and what it leaves alone: the shapes of code that people write.

A case is a file. `# ^ PM101` under a line says where in that line the rule finds something, `#< PM101` that it does
so in the first column. All rules run on each case: what isn't said must not be found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_modal.checks.engine import check_path
from pytest_modal.checks.explain import explain, markdown
from pytest_modal.checks.rules import RULES

CASES = Path(__file__).parent / "rule_cases"
EXPECTED = re.compile(r"^#( *\^|<) (PM\d+(?: PM\d+)*)$")


@dataclass
class Case:
    """A file, its neighbours, and what is found in it as (line, column, code)."""

    title: str
    text: str = ""
    neighbours: list[str] = field(default_factory=list)
    expected: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        return self.title.startswith("bad")

    def found(self, directory: Path) -> list[tuple[int, int, str]]:
        (directory / ".git").mkdir()
        for name in self.neighbours:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text("", encoding="utf-8")
        path = directory / "project" / "script.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(self.text, encoding="utf-8")
        return [(finding.line, finding.column, finding.code) for finding in check_path(path)[0]]


def read_cases(code: str) -> list[Case]:
    prelude = ""
    cases: list[Case] = []
    for section in re.split(r"^=== ", (CASES / f"{code}.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        if title == "prelude":
            prelude = body
            continue
        title, _, neighbours = title.partition(" | ")
        cases.append(marked(title, prelude + body))
        cases[-1].neighbours = neighbours.split()
    return cases


def marked(title: str, text: str) -> Case:
    case, lines = Case(title), list[str]()
    for line in text.splitlines():
        match = EXPECTED.match(line)
        if match is None:
            lines.append(line)
            continue
        case.expected += [(len(lines), len(match[1]) + 1 if match[1] != "<" else 1, each) for each in match[2].split()]
    case.text = "\n".join(lines) + "\n"
    case.expected.sort()
    return case


ALL = [(code, case) for code in RULES for case in read_cases(code)]


@pytest.mark.parametrize(("code", "case"), ALL, ids=[f"{code}-{case.title}" for code, case in ALL])
def test_case(code: str, case: Case, tmp_path: Path) -> None:
    if case.bad:
        assert code in {each for _, _, each in case.expected}
    else:
        assert not case.expected
    assert case.found(tmp_path) == case.expected


@pytest.mark.parametrize("code", RULES)
def test_each_rule_has_enough_cases(code: str) -> None:
    cases = read_cases(code)
    assert sum(case.bad for case in cases) >= 6
    assert sum(not case.bad for case in cases) >= 10


@pytest.mark.parametrize("code", RULES)
def test_a_rule_finds_its_own_bad_example_and_not_the_good_one(code: str, tmp_path: Path) -> None:
    rule = RULES[code]
    (tmp_path / "helpers.py").write_text("def solve(problem): return problem\n")
    for name, text, expected in (("bad.py", rule.bad, {code}), ("good.py", rule.good, set())):
        (tmp_path / name).write_text(text)
        assert {finding.code for finding in check_path(tmp_path / name)[0]} == expected


@pytest.mark.parametrize("code", RULES)
def test_every_finding_says_why_and_what_to_do(code: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(RULES[code].bad)
    (tmp_path / "helpers.py").touch()
    for finding in check_path(path)[0]:
        assert len(finding.message.split()) >= 8
        assert len(finding.hint.split()) >= 6
    assert RULES[code].why.strip() in explain(RULES[code]).replace("\n    ", "\n")


def test_the_documentation_page_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "rules.md"
    assert page.read_text(encoding="utf-8") == markdown(), "run: pytest-modal explain --markdown > docs/rules.md"
