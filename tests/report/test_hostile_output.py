"""What comes from models, tests and containers steers neither a terminal nor what is written for other programs."""

from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest
from loopback_modal import LoopbackModal
from suite_run import run_suite

ATTACK = (
    r"\x1b[2J\x1b]0;title\x07\x1b]8;;https://example.org\x1b\\ "  # clears the screen, sets its title, makes a link
    r"\u202etxet\u2066 \x00 \x9b31m \r\x08 \U000e0041"  # turns the direction, and more that is not seen
)
SUITE = f"""
    import warnings

    import pytest
    import pytest_modal

    ATTACK = "{ATTACK}"
    NAME = ATTACK.replace("/", "").replace("\\x00", "")  # of a file, or of a class


    @pytest_modal.fixture
    def printed():
        print(ATTACK)
        warnings.warn(ATTACK)
        open(NAME + ".csv", "w").close()  # modal: allow PM101
        return [{{"id": ATTACK, "output": ATTACK, "correct": True}}]


    @pytest_modal.fixture
    def raising():
        print(ATTACK)
        raise type(NAME, (Exception,), {{}})(ATTACK)


    @pytest_modal.fixture
    def refused():
        return {{ATTACK: object()}}


    @pytest_modal.fixture
    def asserting():
        value = ATTACK
        assert value == "", ATTACK


    @pytest_modal.fixture
    def skipping():
        pytest.skip(ATTACK)


    @pytest.mark.modal_gpu
    def test_printed(printed, accuracy_gate, output_dir):
        accuracy_gate("toy", printed)
        (output_dir / NAME).touch()


    def test_raising(raising): pass
    def test_refused(refused): pass
    def test_asserting(asserting): pass
    def test_skipping(skipping): pass
    def test_local(printed): assert printed == []
"""
OPTIONS = [(), ("--modal",), ("-n2",), ("-s", "-v", "--tb=short"), ("--tb=line", "-rA")]


def steering(text: str) -> set[str]:
    """Return the characters of text that steer a terminal or turn the direction of what follows."""
    return {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp") and each not in "\n\t"}


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_nothing_of_it_arrives(
    tmp_path: Path, modal_server: LoopbackModal, plain_environment: Mapping[str, str], options: tuple[str, ...]
) -> None:
    environment = {**plain_environment, **modal_server.env}
    result = run_suite(tmp_path, {"test_it.py": SUITE}, *options, "--junitxml=report.xml", env=environment)
    result.assert_outcomes(passed=1, failed=2, skipped=1, errors=2, warnings=2)
    output = "\n".join(result.outlines)
    assert "\\x1b]0;title\\x07" in output
    assert "\\u202etxet\\u2066" in output
    assert steering(output) == set()
    report = (tmp_path / "report.xml").read_text(encoding="utf-8")
    assert steering(report) == set()
    cases = {case.attrib["name"]: case for case in ET.fromstring(report).iter("testcase")}
    assert sorted(cases) == [
        f"test_{each}" for each in ("asserting", "local", "printed", "raising", "refused", "skipping")
    ]
    assert "\\x1b]0;title\\x07" in ET.tostring(cases["test_raising"], encoding="unicode")
