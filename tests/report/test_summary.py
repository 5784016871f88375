"""The terminal summary: what needs attention first, in lines that fit, the same with more under ``-v``."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from literal_lines import assert_lines, unwrapped
from loopback_modal import LoopbackModal
from suite_run import section

SUITE = """
    import pytest
    import pytest_modal


    @pytest_modal.fixture(scope="container", gpu="T4")
    def model():
        return 1


    @pytest_modal.fixture(params=range(3))
    def answers(model, request):
        open(f"notes about {request.param}.txt", "w").close()  # modal: allow PM101
        return request.param


    @pytest.mark.skipif(True, reason="it needs a GPU on this machine, which is none of those that have one")
    @pytest.mark.modal_gpu
    def test_skipped(answers): pass


    def test_answers(answers, save_json):
        for number in range(12):
            save_json(f"a file with a rather long name, so that lines get long, number {number}.json", answers)
"""


def summary_of(pytester: pytest.Pytester, *options: str, columns: int = 80) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        return section(pytester.runpytest_subprocess("-p", "no:randomly", *options), "modal")


def test_what_needs_attention_comes_first(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    lines = unwrapped(summary_of(pytester))
    assert_lines(
        lines,
        [
            "modal: warning: 3 calls of answers (test_it.py:10) wrote *, lost with the container: return the data and "
            "write it in the test",
            '3 GPU tests skipped: "it needs a GPU on this machine, which is none of those that have one" (3)',
            "mode: local; device: cpu",
            "3 calls in 1 environment and 1 container: 3 ok; *",
            "loaded model: 1 time, * *s",
            "time: planning * *s, model loads * *s, calls * *s, other * *s",
            "36 artifacts, listed in modal_output/artifacts.json:",
        ],
        consecutive=True,
    )


def test_a_failure_of_the_infrastructure_is_the_first_of_all(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    pytester.makepyfile(test_it=SUITE)
    modal_server.fail("token", times=None)
    lines = unwrapped(summary_of(pytester, "--modal"))
    assert re.match(r"auth: .* \(3 calls\)$", lines[0])
    assert lines[1].startswith("  what to do: ")
    assert_lines(lines, ["3 GPU tests skipped: *", "mode: modal; device: none"])


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_lines_fit_the_terminal(pytester: pytest.Pytester, columns: int) -> None:
    pytester.makepyfile(test_it=SUITE)
    lines = summary_of(pytester, columns=columns)
    for line in lines:
        # What is too long has one word, a URL for example, or is the path of an artifact.
        assert len(line) <= columns or len(line.split()) == 1 or ".json" in line, line
    assert max(len(line) for line in lines if ".json" not in line) > min(columns, 110) - 12
    assert unwrapped(lines)[0] == unwrapped(summary_of(pytester, columns=1_000))[0]


def test_more_words_say_the_same_and_more(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(test_it=SUITE)

    def seen(*options: str) -> Counter[str]:
        lines = unwrapped(summary_of(pytester, "--modal", *options))
        lines = [line for line in lines if " passed, " not in line]  # pytest's own, which has no rule under -q
        lines = [re.sub(r"(?:< )?[\d.]+ m?s\b", "# s", line) for line in lines]
        return Counter(re.sub(r"(?:ap|ta)-\w+|\d+(?:[.,]\d+)*|\((?:and )?[^)]*GiB\)", "#", line) for line in lines)

    quiet, usual, verbose = seen("-q"), seen(), seen("-v")
    assert Counter(line.rstrip(":") for line in quiet) - Counter(line.rstrip(":") for line in usual) == Counter()
    assert usual - verbose == Counter({"  ... and # more": 1})
    more = [*(verbose - usual).elements()]
    assert_lines(more, ["  container #: T#, # s, about $#", "time of calls:", "  # s  answers[#]  (ok, cpu, #)"])
    assert sum(line.endswith(".json (# B)") for line in verbose.elements()) == 36


@pytest.mark.parametrize(
    ("options", "variables", "coloured"),
    [
        (["--color=yes"], {}, True),
        (["--color=no"], {}, False),
        (["--color=auto"], {"FORCE_COLOR": "1"}, True),
        (["--color=auto"], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_its_colours_are_pytests(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    variables: dict[str, str],
    coloured: bool,
) -> None:
    pytester.makepyfile(test_it=SUITE)
    for name in ("PY_COLORS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (line,) = (line for line in pytester.runpytest(*options).outlines if "modal: warning: 3 calls" in line)
    assert ("\x1b[33m" in line) == coloured
    assert ("\x1b" in line) == coloured
