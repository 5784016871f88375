"""Standard streams in a GPU function are text streams as everywhere; the last of what they took comes back."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal
from suite_run import section

from pytest_modal.remote.streams import KEPT_OUTPUT, Streams

SUITE = """
    import io, os, subprocess, sys
    import pytest

    def as_bytes():
        sys.stdout.buffer.write(b"bytes\\n")

    def reconfigured():
        sys.stdout.reconfigure(encoding="latin-1", line_buffering=True)
        print("reconfigured")

    def wrapped():
        stream = io.TextIOWrapper(sys.stderr.buffer, encoding="utf-8", write_through=True)
        stream.write("wrapped\\n")
        stream.detach()

    def by_number():
        print("python", flush=True)
        subprocess.run(["echo", "child"], stdout=sys.stdout.fileno(), check=True)

    def closed():
        print("closed")
        sys.stdout.close()

    def detached():
        sys.stdout.detach().write(b"detached\\n")

    def facts():
        for stream in (sys.stdout, sys.stderr):
            assert (stream.encoding, stream.errors, stream.mode) == ("utf-8", "backslashreplace", "w")
            assert stream.writable() and not stream.readable() and not stream.isatty() and not stream.closed
            os.fstat(stream.fileno())
        assert (sys.stdout.name, sys.stdout.buffer.name) == ("<stdout>", "<stdout>")
        print("größer \\udc80")

    # One after the other in one container: none finds what another has done to its streams.
"""
WORKS = {
    "as_bytes": ["bytes"],
    "reconfigured": ["reconfigured"],
    "wrapped": ["wrapped"],
    "by_number": ["python"],
    "closed": ["closed"],
    "detached": ["detached"],
    "facts": ["größer \\udc80"],
}
TEST = """
    @pytest.mark.modal_gpu(function={work})
    def test_{work}(modal_result): assert modal_result is None
"""


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_a_function_uses_its_standard_streams_as_anywhere(
    pytester: pytest.Pytester, modal_server: LoopbackModal, mode: str
) -> None:
    pytester.makepyfile(test_it=SUITE + "".join(TEST.format(work=work) for work in WORKS))
    result = pytester.runpytest_subprocess(f"--modal-mode={mode}", "-p", "no:randomly", "-rP", timeout=90)
    result.assert_outcomes(passed=len(WORKS))
    printed = {work: section(result, f"test_{work}") for work in WORKS}
    for work, lines in WORKS.items():
        assert_lines(printed[work], lines)


def captured(work: Callable[[], None], times: int = 1) -> str:
    streams = Streams()
    for _ in range(times):
        with streams.captured():
            work()
    return streams.text("stdout") + streams.text("stderr")


def test_the_last_of_it_is_kept_and_no_character_is_cut() -> None:
    assert captured(lambda: print("x" * 100)) == "x" * 100 + "\n"
    kept = captured(lambda: print("ä" * KEPT_OUTPUT, end=""))
    assert KEPT_OUTPUT / 2 - 4 <= len(kept) <= KEPT_OUTPUT / 2
    assert set(kept) == {"ä"}
    many = captured(lambda: [print(number) for number in range(100_000)] and None)
    assert many.endswith("99998\n99999\n")
    assert len(many) <= KEPT_OUTPUT


def test_it_is_passed_on_as_it_comes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    text_only = io.StringIO()
    for stream in (sys.stdout, text_only):
        monkeypatch.setattr(sys, "stdout", stream)
        captured(lambda: print("half", end="", flush=True))
        assert sys.stdout is stream
    assert (capsys.readouterr().out, text_only.getvalue()) == ("half", "half")


def test_a_handler_of_the_first_call_writes_for_later_ones() -> None:
    streams = Streams()
    logger = logging.Logger("model")
    with streams.captured():
        logger.addHandler(logging.StreamHandler())
        logger.error("first")
    with streams.captured():
        logger.error("second")
    assert streams.text("stderr") == "second\n"


def test_a_stream_without_a_file_says_so() -> None:
    program = (
        "import io, sys; from pytest_modal.remote.streams import Streams\n"
        "sys.stdout = io.StringIO()\n"
        "with Streams().captured():\n"
        "    try: sys.stdout.fileno()\n"
        "    except io.UnsupportedOperation: print('none', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stderr == "none\n"
