"""The ini ``modal_facts``: a report of ``pytest-modal doctor`` sets what is assumed of Modal otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_modal.declare.facts import Facts, read_facts

SUITE = "def test_it(): pass\n"


def report(facts: str = "{}", schema: str = "1") -> str:
    return f'{{"schema": {schema}, "facts": {facts}}}'


def test_what_the_doctor_has_not_found_out_stays_as_assumed(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(report('{"streams": 64, "out_of_memory_exit_codes": [137, 77]}'))
    assert read_facts(path) == Facts(streams=64, out_of_memory_exit_codes=(137, 77))
    path.write_text(report())
    assert read_facts(path) == Facts()


def test_a_file_is_found_from_the_rootdir(pytester: pytest.Pytester) -> None:
    pytester.mkdir("below").joinpath("test_it.py").write_text(SUITE)
    pytester.path.joinpath("facts.json").write_text(report())
    pytester.makeini("[pytest]\nmodal_facts = facts.json\n")
    pytester.runpytest("below").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        (None, "can't be read: No such file or directory", ""),
        ("{", "is not JSON: Expecting property name enclosed in double quotes", ":1:2"),
        ("\xff", "is not JSON: 'utf-8' codec can't decode byte", ""),
        ("[" * 100_000, "is not JSON: maximum recursion depth exceeded", ""),
        ("[]", "is JSON, but not a report of the doctor: list, not an object", ""),
        ("{}", "schema None is not known", ", at schema"),
        (report(schema="2"), "schema 2 is not known", ", at schema"),
        (report(schema="true"), "schema True is not known", ", at schema"),
        (report("[]"), "[] is not an object with the facts by their names", ", at facts"),
        (report('{"stream": 1}'), "there is no fact 'stream'", ", in facts"),
        (report('{"streams": 7}'), "7 is not a whole number, at least 8", ", at facts.streams"),
        (report('{"streams": true}'), "true is not a whole number, at least 8", ", at facts.streams"),
        (report('{"streams": 1e3}'), "1000.0 is not a whole number, at least 8", ", at facts.streams"),
        (report('{"round_trip_seconds": -1}'), "-1 is not a number of seconds from 0 to 10", ""),
        (report('{"round_trip_seconds": NaN}'), "NaN is not a number of seconds from 0 to 10", ""),
        (report('{"log_delay_seconds": 61}'), "61 is not a number of seconds from 0 to 60", ""),
        (report('{"result_delay_seconds": "5"}'), '"5" is not a number of seconds from 0 to 60', ""),
        (report('{"out_of_memory_exit_codes": []}'), "[] is not a list of exit statuses", ""),
        (report('{"out_of_memory_exit_codes": [0]}'), "[0] is not a list of exit statuses", ""),
        (report('{"runners_count_queued": 1}'), "1 is not true or false", ", at facts.runners_count_queued"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_usage_error(
    pytester: pytest.Pytester, text: str | None, what: str, where: str
) -> None:
    pytester.makepyfile(SUITE)
    path = pytester.path / "facts.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    result = pytester.runpytest("-o", f"modal_facts={path.name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    first, second, third, *_ = result.errlines
    assert first.startswith("ERROR: modal_facts")
    assert what in first
    assert second.startswith(f"  where: {path}{where}")
    assert third.startswith("  what to do: ")


def test_a_directory_is_no_file_of_facts(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    result = pytester.runpytest("-o", "modal_facts=.")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == "ERROR: modal_facts is not a regular file"


def test_a_misspelt_fact_is_told_the_right_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    pytester.path.joinpath("facts.json").write_text(report('{"log_delay": 1}'))
    result = pytester.runpytest("-o", "modal_facts=facts.json")
    assert result.errlines[2] == "  what to do: did you mean log_delay_seconds?"
