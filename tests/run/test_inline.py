"""``pytest --modal-inline``: functions in pytest's own process, where ``breakpoint()`` and ``--pdb`` work."""

from __future__ import annotations

import pexpect
import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

SUITE = """
    import os
    import pytest, pytest_modal

    @pytest_modal.fixture(scope="container", env={"WHO": "me"})
    def model():
        yield 2
        print("released")

    @pytest_modal.fixture(params=[1, 0])
    def inverse(model, request):
        number = request.param
        print("inverse of", number, "for", os.environ["WHO"], "in", os.getpid())
        return model / number

    def test_inverse(inverse): assert (inverse, os.environ.get("WHO")) == (2, None)
    def test_again(inverse): assert inverse == 2
"""
STOPS = SUITE.replace("return model", "breakpoint()\n        return model")
LOADS = SUITE.replace("yield 2", "breakpoint()\n        yield 2")
PDB = r"\(Pdb\) "


def test_the_batch_runs_here_and_says_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    result = pytester.runpytest_subprocess("--modal-inline", "-p", "no:randomly")
    result.assert_outcomes(passed=2, errors=2)
    assert_lines(
        result.outlines,
        [
            "modal: local mock mode, inline: in this process, without isolation: 2 calls for 4 tests",
            "modal: loading model",
            "inverse of * for me in *",
            "modal: 1/2 calls done*",
            "inverse of * for me in *",
            "modal: 2/2 calls done, 1 failed",
            "released",
            # pytest's own report of the function's own exception.
            "*_ ERROR at setup of test_inverse[0] _*",
            ">   *return model / number",
            "E   *ZeroDivisionError: division by zero",
            "test_it.py:13: ZeroDivisionError",
            "modal: inline: in pytest's process, without isolation and time limits; no result is kept",
        ],
    )
    pids = {line.rpartition(" ")[2] for line in result.outlines if line.startswith("inverse of")}
    assert len(pids) == 1
    again = pytester.runpytest_subprocess("--modal-resume", "-p", "no:randomly")
    assert_lines(again.outlines, ["modal: 0 of 2 calls reused from earlier runs, 2 to run"])


def test_a_breakpoint_stops_in_the_function_and_pdb_goes_on_to_the_line_that_raised(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=STOPS)
    child = pytester.spawn_pytest("--modal-inline --pdb -p no:randomly", expect_timeout=60)
    for _ in ("1", "0"):
        child.expect(PDB)
        child.sendline("p ('at', model, number in (0, 1))")
        child.expect_exact("('at', 2, True)")
        child.sendline("continue")
    # The terminal stays open after it.
    child.expect_exact("2/2 calls done")
    child.expect_exact("released")
    for _ in ("test_inverse", "test_again"):
        child.expect("ZeroDivisionError")
        child.expect(PDB)
        child.sendline("p ('raised for', number)")
        child.expect_exact("('raised for', 0)")
        child.sendline("continue")
    child.expect("2 passed, 2 errors")
    child.expect(pexpect.EOF)


def test_it_stops_in_a_container_fixture_and_reads_what_is_typed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=LOADS.replace("number = request.param", 'number = int(input("number? "))'))
    child = pytester.spawn_pytest("--modal-inline -p no:randomly -k 1", expect_timeout=60)
    child.expect(r"-> .*yield 2\r\n")
    child.expect(PDB)
    child.sendline("continue")
    child.expect_exact("number? ")
    child.sendline("1")
    child.expect("2 passed")
    child.expect(pexpect.EOF)


@pytest.mark.parametrize(
    ("stop", "seen", "leave"),
    [("breakpoint()", PDB, "q\n"), ("print('waiting')", "waiting", "\x03")],
    ids=["quit", "ctrl-c"],
)
def test_leaving_a_function_ends_the_run(pytester: pytest.Pytester, stop: str, seen: str, leave: str) -> None:
    waits = f"{stop}\n        import time; time.sleep(60)\n        return model"
    pytester.makepyfile(test_it=SUITE.replace("return model", waits))
    child = pytester.spawn_pytest("--modal-inline -p no:randomly", expect_timeout=60)
    child.expect(seen)
    child.send(leave)
    child.expect_exact("released")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == pytest.ExitCode.INTERRUPTED
    assert "please report" not in child.before.decode()


def test_workers_of_xdist_run_it_once_and_have_no_terminal(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=STOPS)
    result = pytester.runpytest_subprocess("--modal-inline", "-n2", "-s", timeout=90)
    result.assert_outcomes(errors=4)
    assert_lines(
        result.outlines,
        [
            "modal: local mock mode, inline: in this process, without isolation (breakpoint() and --pdb need -n0): *",
            "*BreakpointError: breakpoint() can't stop here: a worker of pytest-xdist has no terminal; "
            "pytest --modal-inline -n0 runs the function where it can",
        ],
    )
    assert sum("local mock mode, inline" in line for line in result.outlines) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--modal",
            [
                "ERROR: --modal-inline runs functions in pytest's own process, and mode 'modal' does not",
                "  where: the command line",
                "  what to do: debug in local mock mode: pytest --modal-inline",
            ],
        ),
        ("--modal-mode=replay", ["ERROR: * mode 'replay' does not"]),
        ("--modal-mode=skip", ["ERROR: * mode 'skip' does not"]),
        ("--modal-record", ["ERROR: --modal-record keeps results, and *", "*", "*run again without --modal-record"]),
        ("--modal-update-baselines", ["ERROR: --modal-update-baselines keeps results, and *"]),
    ],
)
def test_what_cannot_go_with_it(pytester: pytest.Pytester, options: str, message: list[str]) -> None:
    result = pytester.runpytest("--modal-inline", options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert_lines(result.errlines, message, consecutive=True)


def test_the_command_line_wins_over_the_mode_of_the_project(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmodal_mode = modal")
    pytester.makepyfile(test_it=SUITE)
    result = pytester.runpytest("--modal-inline", "-k", "1")
    result.assert_outcomes(passed=2, deselected=2)


def test_what_a_function_skips_or_exits_with_does_not_end_pytest(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import sys, pytest

        def leaves(how):
            if how == "exit":
                sys.exit(3)
            return {how}

        @pytest.mark.parametrize("how", ["exit", "set"])
        @pytest.mark.modal_gpu(function=leaves)
        def test_it(modal_result): pass

        def test_local(): pass
        """
    )
    result = pytester.runpytest("--modal-inline", "-p", "no:randomly")
    result.assert_outcomes(passed=1, errors=2)
    assert_lines(result.outlines, ["E   *SystemExit: 3", "leaves[set] returned something that is not data: *"])


# Without it


DEBUG = (
    "  what to do: debug it in local mock mode, in this terminal: pytest --modal-inline (and -n0, with pytest-xdist)"
)


@pytest.mark.parametrize("mode", ["local", "modal"])
@pytest.mark.parametrize(
    ("stop", "kind"),
    [
        ("breakpoint()", "pytest_modal.remote.debugger.BreakpointError"),
        ("__import__('pdb').set_trace()", "bdb.BdbQuit"),
    ],
)
def test_a_breakpoint_elsewhere_is_answered_by_the_option(
    pytester: pytest.Pytester, modal_server: LoopbackModal, mode: str, stop: str, kind: str
) -> None:
    pytester.makepyfile(
        test_it=f"""
        import pytest

        def work():
            {stop}
            return 1

        @pytest.mark.modal_gpu(function=work, timeout=30)
        def test_it(modal_result): pass
        """
    )
    result = pytester.runpytest_subprocess(f"--modal-mode={mode}", timeout=90)
    result.assert_outcomes(errors=1)
    assert_lines(result.outlines, [f"work raised {kind}", "  where: test_it.py:3, *", DEBUG])
    if kind != "bdb.BdbQuit":
        assert_lines(
            result.outlines,
            ["Remote traceback (most recent call last):", '  File "*test_it.py", line 4, in work', "    breakpoint()"],
            consecutive=True,
        )


def test_breakpoints_that_are_switched_off_are_off(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    pytester.makepyfile(test_it=STOPS)
    pytester.runpytest_subprocess("-k", "1").assert_outcomes(passed=2, deselected=2)


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_pdb_after_a_failed_call_says_how(pytester: pytest.Pytester, modal_server: LoopbackModal, mode: str) -> None:
    pytester.makepyfile(test_it=SUITE)
    child = pytester.spawn_pytest(f"--pdb --modal-mode={mode} -p no:randomly", expect_timeout=60)
    child.expect_exact("To debug it: pytest --modal-inline --pdb 'test_it.py::test_inverse[0]'")
    child.expect(PDB)
    child.sendline("q")
    child.expect(pexpect.EOF)
    plain = pytester.runpytest_subprocess("-p", "no:randomly")
    assert not any("--modal-inline" in line for line in plain.outlines)
