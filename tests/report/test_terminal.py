"""What a run says before, during and after its batch."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines, unwrapped
from loopback_modal import LoopbackModal
from suite_run import section

SUITE = """
    import pytest
    import pytest_modal


    @pytest_modal.fixture(scope="container")
    def model():
        return 1


    @pytest_modal.fixture(params=range({calls}))
    def value(request, model):
        return request.param


    def test_it(value, save_json):
        save_json("value.json", value)
"""


def write_suite(pytester: pytest.Pytester, calls: int) -> None:
    pytester.makepyfile(test_it=SUITE.replace("{calls}", str(calls)))


@pytest.mark.parametrize("options", [(), ("-rA",)])
def test_an_empty_line_is_above_our_section_and_none_below_its_title(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    write_suite(pytester, 2)
    lines = pytester.runpytest(*options).outlines
    title = next(number for number, line in enumerate(lines) if "= modal =" in line)
    assert lines[title - 1] == ""
    assert lines[title - 2] != ""
    assert lines[title + 1] == "mode: local; device: cpu"


def test_the_section_is_set_apart_after_errors_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE.replace("return 1", "raise OSError").replace("{calls}", "1"))
    lines = pytester.runpytest().outlines
    title = next(number for number, line in enumerate(lines) if "= modal =" in line)
    assert lines[title - 2 : title] == ["OSError", ""]


@pytest.mark.parametrize("options", [(), ("--modal-mode=replay",), ("--modal-plan",)])
def test_the_announcement_fits_a_terminal(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    write_suite(pytester, 1_200)
    lines = pytester.runpytest("-k", "test_it", *options, "-x").outlines
    (line,) = (line for line in lines if line.startswith("modal: ") and "1,200 calls for 1,200 tests" in line)
    assert len(line) <= 80


def test_a_quiet_run_says_where_it_ran_and_what_went_wrong(pytester: pytest.Pytester) -> None:
    write_suite(pytester, 30)
    lines = pytester.runpytest("-q").outlines
    ours = [line for line in lines if line.startswith("modal: ") or "model" in line or "artifact" in line]
    assert ours == [
        "modal: local mock mode, on this machine: 30 calls for 30 tests, 1 environment",
        "30 artifacts, listed in modal_output/artifacts.json",
    ]
    assert_lines(lines, ["mode: local; device: cpu", "30 calls in 1 environment and 1 container: 30 ok; *"])
    assert len(lines) < 15


FAULTS = """
    import pytest
    import pytest_modal


    @pytest_modal.fixture(scope="container")
    def broken():
        import time
        time.sleep(0.4)
        raise OSError("no such weights")


    @pytest_modal.fixture(scope="container", timeout=1)
    def hanging():
        import time
        time.sleep(60)


    @pytest_modal.fixture(params=range(3))
    def a(request, broken): return 1


    @pytest_modal.fixture
    def b(hanging): return 1


    @pytest_modal.fixture(timeout=60)
    def killed():
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)


    def test_a(a): pass
    def test_b(b): pass
    def test_killed(killed): pass
"""


def in_seconds(shown: str) -> float:
    """Return a time of less than a minute as a number."""
    number, unit = shown.removeprefix("< ").split()
    return float(number) * {"ms": 0.001, "s": 1.0}[unit]


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_time_and_containers_are_counted_where_things_fail(
    pytester: pytest.Pytester, modal_server: LoopbackModal, mode: str
) -> None:
    pytester.makepyfile(test_it=FAULTS)
    result = pytester.runpytest_subprocess(f"--modal-mode={mode}", "-p", "no:randomly")
    result.assert_outcomes(errors=5)
    summary = section(result, "modal")
    assert_lines(summary, ["5 calls in 3 environments and * containers: 0 ok, 1 crashed, 3 raised, 1 timed out; *"])
    (counted,) = (int(line.split(" and ")[1].split()[0]) for line in summary if " environments and " in line)
    if mode == "modal":
        assert counted == len(modal_server.facts()["containers"])
    else:
        # One for each environment, and another for the second try of the call that crashed.
        assert counted == 4
    seconds = {}
    for line in summary:
        if line.startswith("did not load "):
            label, _, rest = line.removeprefix("did not load ").partition(": 1 time, ")
            seconds[label] = in_seconds(rest)
    assert sorted(seconds) == ["broken", "hanging"]
    assert 0.4 <= seconds["broken"] < 1
    assert seconds["hanging"] == 1
    (line,) = (line for line in unwrapped(summary) if line.startswith("time: "))
    parts = (part.rsplit(" ", 2) for part in line.removeprefix("time: ").split(", "))
    phases = {name: in_seconds(f"{number} {unit}") for name, number, unit in parts}
    assert abs(phases["model loads"] - sum(seconds.values())) < 0.06
    assert phases["calls"] < 0.4
