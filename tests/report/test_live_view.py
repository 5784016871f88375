"""What is seen of a running batch on a terminal."""

from __future__ import annotations

import re
import textwrap
from collections import Counter

import pytest
from loopback_modal import LoopbackModal
from screens import Terminal

SUITE = """
    import time

    import pytest
    import pytest_modal


    @pytest_modal.fixture(scope="container", gpu="T4", max_containers=2)
    def model():
        time.sleep(1)
        return 1


    @pytest_modal.fixture(params=range(8))
    def answers(model, request):
        print(f"step {request.param}", flush=True)
        time.sleep(0.4)
        if request.param == 3:
            raise ValueError("no answer")
        return request.param


    @pytest.mark.modal_gpu
    def test_answers(answers): pass
"""
HEAD = re.compile(r"^modal: [a-z ]+?  \d/8 calls")


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_it=SUITE)
    return pytester


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, plain_environment: dict[str, str]) -> Terminal:
    """A run on a usual terminal."""
    directory = tmp_path_factory.mktemp("usual")
    (directory / "test_it.py").write_text(textwrap.dedent(SUITE))
    return Terminal().run(directory, environment=plain_environment)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 24), (200, 50), (80, 8)])
def test_it_fits_the_terminal_and_leaves_nothing_behind(suite: pytest.Pytester, width: int, height: int) -> None:
    terminal = Terminal(width, height).run(suite.path)
    frame = terminal.shown("answers[6]", "1 failed")
    assert any("━" in line and "─" in line for line in frame)
    assert not any("━" in line or "─" in line for line in terminal.lines)
    (announced,) = (line for line in terminal.lines if line.startswith("modal: "))
    assert announced.startswith("modal: local mock mode, on this machine:")
    assert not terminal.cursor_hidden
    # Nothing of it was ever drawn twice: a line that is too long, or a screen that is too low, would leave some behind.
    assert all(sum("━" in line or "─" in line for line in frame) <= 1 for frame in terminal.frames)
    assert terminal.status == 1


def test_it_says_what_runs_and_how_far_it_is(usual: Terminal) -> None:
    assert usual.was_shown("modal: planning 8 GPU tests")
    loading = usual.shown("loading model")
    (head,) = (line for line in loading if line.startswith("modal: running"))
    assert re.fullmatch(r"modal: running  0/8 calls {10,}\d+ s", head)
    later = usual.shown("answers[6]")
    (head,) = (line for line in later if line.startswith("modal: running"))
    assert re.fullmatch(r"modal: running  [56]/8 calls, 1 failed, 1 model load {10,}\d+ s", head)


def test_lines_that_stay_are_above_it_once(suite: pytest.Pytester) -> None:
    terminal = Terminal(width=60).run(suite.path, "-s")
    seen = Counter(line for line in terminal.lines if " | " in line)
    assert seen == Counter(f"answers[{number}] | step {number}" for number in range(8))
    frame = terminal.shown("answers[5] | step 5")
    assert max(number for number, line in enumerate(frame) if " | " in line) < min(
        number for number, line in enumerate(frame) if HEAD.match(line)
    )


def test_it_does_not_flicker(usual: Terminal) -> None:
    terminal = usual
    drawn = [piece for piece in terminal.pieces if "calls" in piece and "\x1b[2K" in piece]
    # Four times a second at most, and only where something has changed.
    assert 5 <= len(drawn) <= 4 * terminal.seconds
    heads = [line for frame in terminal.frames for line in frame if HEAD.match(line)]
    assert len(heads) > 5
    # What was erased is drawn again in the same piece: there is no moment without it until its end.
    begin = next(number for number, frame in enumerate(terminal.frames) if any(map(HEAD.match, frame)))
    gone = [number for number, frame in enumerate(terminal.frames[begin:]) if not any(map(HEAD.match, frame))]
    assert gone == [*range(gone[0], len(terminal.frames) - begin)]


def test_ctrl_c_leaves_a_screen_that_can_be_used(suite: pytest.Pytester) -> None:
    terminal = Terminal().run(
        suite.path,
        until=lambda lines: any("answers[4]" in line for line in lines),
        act=lambda child: child.sendintr(),
    )
    assert terminal.status == 2
    assert not terminal.cursor_hidden
    assert not any("━" in line or "─" in line or HEAD.match(line) for line in terminal.lines)
    assert any(
        re.match(r"interrupted: 3 of 8 calls are kept; pytest --modal-resume continues", line)
        for line in terminal.lines
    )
    assert any("KeyboardInterrupt" in line for line in terminal.lines)


def test_on_modal_it_shows_containers_and_what_they_cost(suite: pytest.Pytester, modal_server: LoopbackModal) -> None:
    modal_server.fail("slow_start", times=None, seconds=0.5)
    first = Terminal().run(suite.path, "--modal")
    assert first.was_shown("modal: starting containers  0/8 calls")
    frame = first.shown("2 containers up; about $", "T4  loading model")
    assert sum(line.startswith("  T4  loading model ") for line in frame) >= 1
    assert not first.was_shown(" left")
    (paid,) = (
        number for number, line in enumerate(frame) if line == "modal: paid by workspace tester, environment main"
    )
    assert paid < next(number for number, line in enumerate(frame) if line.startswith("modal: running"))
    assert any(line.startswith("modal: session ap-") for line in first.lines)
    # What is drawn with such a line is not older than it.
    seen = first.shown("modal: session ap-")
    assert any(line.startswith(("modal: starting containers  0/8", "modal: running")) for line in seen)
    # The timings of the first run are known to the second.
    again = Terminal().run(suite.path, "--modal")
    assert re.search(r"  about (5|10) s left$", next(line for line in again.shown(" left") if " left" in line))


@pytest.mark.parametrize(
    ("options", "variables"),
    [(["-q"], {}), ([], {"TERM": "dumb"}), ([], {"CI": "true"}), (["-o", "log_cli=true"], {})],
    ids=["quiet", "dumb", "ci", "live logs"],
)
def test_where_it_would_be_in_the_way_there_is_none(
    suite: pytest.Pytester, options: list[str], variables: dict[str, str]
) -> None:
    terminal = Terminal().run(suite.path, *options, **variables)
    assert not terminal.was_shown("━")
    assert not terminal.was_shown("modal: planning")
    assert terminal.was_shown("modal: 4/8 calls done") == (options != ["-q"])


@pytest.mark.parametrize(("option", "variables"), [("--color=no", {}), ("--color=auto", {"NO_COLOR": "1"})])
def test_without_colours_it_has_none(suite: pytest.Pytester, option: str, variables: dict[str, str]) -> None:
    terminal = Terminal().run(suite.path, option, **variables)
    assert terminal.was_shown("━")
    assert not re.search(r"\x1b\[[\d;]*m", "".join(terminal.pieces).replace("\x1b[0m", ""))


def test_labels_steer_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest, time

        def work(name):
            print("\\x1b[2J\\x1b]0;title\\x07 \\u202eevil \\x00 " + 3_000 * "x")
            time.sleep(0.6)

        @pytest.mark.parametrize("name", ["[red]a[/red]", "\\u202eb", "c" * 300], ids=str)
        @pytest.mark.modal_gpu(function=work)
        def test_it(modal_result): pass
        """
    )
    terminal = Terminal(width=200).run(pytester.path, "-s")
    assert terminal.status == 0
    output = "".join(terminal.pieces)
    assert [each for each in ("\x1b[2J", "\x1b]0;", "\x00", "\u202e", "\x07") if each in output] == []
    assert terminal.was_shown("work[[red]a[/red]]")
    assert terminal.was_shown("\\x1b[2J\\x1b]0;title\\x07 \\u202eevil \\x00 xxx")


@pytest.mark.parametrize(("width", "height"), [(12, 24), (80, 3), (5, 2)])
def test_a_terminal_in_which_nothing_has_room_ends_no_batch(suite: pytest.Pytester, width: int, height: int) -> None:
    terminal = Terminal(width, height).run(suite.path)
    assert terminal.status == 1
    assert not terminal.cursor_hidden


def test_many_lines_are_written_together(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest, time

        def work():
            for number in range(2_000):
                print(number, flush=True)
                time.sleep(0.0005)

        @pytest.mark.modal_gpu(function=work)
        def test_it(modal_result): pass
        """
    )
    terminal = Terminal().run(pytester.path, "-s")
    assert [line for line in terminal.lines if " | " in line] == [f"work | {number}" for number in range(2_000)]
    assert "".join(terminal.pieces).count("modal: running") <= 8 * terminal.seconds
