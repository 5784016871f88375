"""``pytest -s`` shows what GPU functions print, line by line and with the call's label, while the batch runs."""

from __future__ import annotations

import re
from collections import Counter
from types import SimpleNamespace

import pexpect
import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

from pytest_modal.batch.outcomes import Outcome
from pytest_modal.run.modal.app_log import News, Signs
from pytest_modal.run.modal.printed_log import PrintedLog
from pytest_modal.run.printed import LONGEST_LINE, Lines, lines_of

SUITE = """
    import pytest, pytest_modal

    @pytest_modal.fixture(scope="container")
    def model():
        print("loading")
        return 2

    @pytest_modal.fixture(params=[3, 4])
    def power(model, request):
        import sys, time
        print("computing", end=" ")
        print(request.param, flush=True)
        for step in range(2):
            print(f"\\rstep {step}", end="", file=sys.stderr)
        print("\\rdone \\x1b[31mred", file=sys.stderr, flush=True)
        print("same")
        print("same", flush=True)
        time.sleep(0.3)
        print("no end", end="")
        return model ** request.param

    def test_power(power): assert power in (8, 16)
    def test_again(power): assert power in (8, 16)
"""


def printed(number: int) -> list[str]:
    """Return what one call prints; the two streams may come in either order."""
    lines = [f"computing {number}", "done \\x1b[31mred", "same", "same", "no end"]
    return [f"power[{number}] | {line}" for line in lines]


@pytest.mark.parametrize(
    "options", [["--modal-mode=local"], ["--modal-mode=modal"], ["--modal-mode=local", "-n2"]], ids=" ".join
)
def test_lines_are_shown_once_with_their_call(
    pytester: pytest.Pytester, modal_server: LoopbackModal, options: list[str]
) -> None:
    pytester.makepyfile(test_it=SUITE)
    result = pytester.runpytest_subprocess("-s", "-p", "no:randomly", *options, timeout=90)
    result.assert_outcomes(passed=4)
    seen = [line for line in result.outlines if line.startswith("power[")]
    assert Counter(seen) == Counter([*printed(3), *printed(4), "power[3] | loading"])
    expected = [each for number in (3, 4) for each in printed(number) if "red" not in each]
    assert [line for line in seen if "red" not in line and "loading" not in line] == expected
    # While the batch runs, not after it.
    assert_lines(result.outlines, ["power[3] | no end", "*modal: 1/2 calls done", "power[4] | no end"])


@pytest.mark.parametrize("options", [[], ["--capture=sys"], ["--modal-plan"]], ids=" ".join)
def test_without_it_nothing_is_shown(pytester: pytest.Pytester, options: list[str]) -> None:
    pytester.makepyfile(test_it=SUITE)
    result = pytester.runpytest("-p", "no:randomly", *options)
    assert [line for line in result.outlines if line.startswith("power[")] == []


def test_a_call_that_crashes_or_hangs_has_shown_its_last_words(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest

        def falls(how):
            import os, sys, time
            print("going to", how, end="", flush=True)
            if how == "hang":
                time.sleep(60)
            os.abort()

        @pytest.mark.parametrize("how", ["hang", "crash"])
        @pytest.mark.modal_gpu(function=falls, timeout=1)
        def test_it(modal_result): pass
        """
    )
    result = pytester.runpytest("-s", "-p", "no:randomly")
    result.assert_outcomes(errors=2)
    # A call that crashed is tried again in another process.
    seen = Counter(line for line in result.outlines if " | going to" in line)
    assert seen == {"falls[hang] | going to hang": 1, "falls[crash] | going to crash": 2}


def test_the_live_line_goes_on_below_them(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    child = pytester.spawn_pytest("-s -p no:randomly", expect_timeout=60)
    child.expect(pexpect.EOF)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", child.before.decode())
    lines = [line.rpartition("\r")[2].strip() for line in text.splitlines()]
    for line in [*printed(3), *printed(4)]:
        assert line in lines
    assert "4 passed" in text


# The parts


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (["a\nb", "c\n"], ["a", "bc"]),
        (["a", "", "b"], ["ab"]),
        (["\n\n"], ["", ""]),
        (["ä".encode()[:1], "ä".encode()[1:] + b"\n"], ["ä"]),
        (["1%\r2%\r", "3%\r\n", "next"], ["3%", "next"]),
        (["x" * (LONGEST_LINE + 1)], ["x" * LONGEST_LINE, "x"]),
        (["x" * LONGEST_LINE, "y\nz"], ["x" * LONGEST_LINE, "y", "z"]),
        ([f"\r{number:1000}" for number in range(50)], [f"{49:1000}"]),
    ],
)
def test_lines_come_together(pieces: list[str | bytes], lines: list[str]) -> None:
    reader = Lines()
    seen = []
    for piece in pieces:
        seen += reader.add(piece.encode() if isinstance(piece, str) else piece)
    assert [*seen, *reader.rest()] == lines
    assert [*reader.rest()] == []


def test_a_whole_output_is_cut_like_its_pieces() -> None:
    assert list(lines_of("a\n" + "x" * (LONGEST_LINE + 2) + "\nb")) == ["a", "x" * LONGEST_LINE, "xx", "b"]


def entry(message: str, call: str = "fc-1", container: str = "ta-1", source: str = "stdout", at: int = 0) -> object:
    return SimpleNamespace(message=message, source=source, timestamp=at, context_ids=[call, "in-1", container])


SIGNS = Signs()
START = f"{SIGNS.mark} start T4 {{}} label\n"


def test_the_reply_brings_what_the_log_lacks() -> None:
    log = PrintedLog(SIGNS)
    for source in ("stdout", "stderr"):
        assert list(log.add(entry(START.format("one"), source=source))) == []
    assert list(log.add(entry("a\nb\nhal"))) == [("one", "a"), ("one", "b")]
    outcome = Outcome("one", "ok", stdout="a\nb\nhalf\nend", stderr="error\n")
    assert list(log.rest("one", outcome)) == ["half", "end", "error"]
    # What comes late was shown already.
    assert [*log.add(entry("f\n", at=1)), *log.add(entry("error\n", source="stderr", at=2))] == []
    assert list(log.add(entry("from C\n", at=3))) == [("one", "from C")]


def test_a_log_that_begins_again_is_not_shown_again() -> None:
    news = News()
    seen = []
    for _ in range(2):
        news.opened()
        seen += [each for each in (entry("same\n"), entry("same\n"), entry("same\n", at=1)) if news.is_new(each)]
    assert len(seen) == 3
    assert news.is_new(entry("same\n", at=2))


def test_lines_belong_to_the_call_that_was_named_last_in_their_stream() -> None:
    log = PrintedLog(SIGNS)
    seen = [*log.add(entry("starting up\n"))]
    for number, key in enumerate(("one", "two")):
        # Both calls came in one pack, so they have one id on Modal.
        seen += log.add(entry(START.format(key), at=number))
        seen += log.add(entry(f"{key}\nno end of {key}", at=number))
    seen += log.add(entry("other\n", container="ta-2"))
    seen += log.add(entry("other\n", source="stderr"))
    assert seen == [("one", "one"), ("one", "no end of one"), ("two", "two")]
