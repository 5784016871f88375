"""A container that is hostile: nothing that it sends runs here, and its calls fail by themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from loopback_modal import LoopbackModal
from suite_run import section

TWO = """
    import pytest_modal

    @pytest_modal.fixture(packages=[], gpu="T4")
    def theirs():
        return 1

    @pytest_modal.fixture(packages=[], gpu="L4")
    def ours():
        return 2

    def test_theirs(theirs): assert theirs == 1
    def test_ours(ours): assert ours == 2
"""


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (False, "a container sent something else than bytes in place of a reply: it was not unpickled"),
        (True, "theirs crashed: the container ended: ValueError: told by the container"),
    ],
    ids=["result", "exception"],
)
def test_what_a_container_sends_is_not_unpickled(
    pytester: pytest.Pytester, modal_server: LoopbackModal, tmp_path: Path, raised: bool, seen: str
) -> None:
    ran = tmp_path / "ran"
    modal_server.fail("output", times=None, how="hostile", function="T4.*", touches=str(ran), raised=raised)
    pytester.makepyfile(TWO)
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=1, errors=1)
    assert seen in " ".join(section(result, "ERROR at setup of test_theirs"))
    assert not ran.exists()


CLIENT = """
import os, sys
import modal
from pytest_modal.run.modal.plain_replies import read_as_bytes

class Hostile(Exception):
    def __reduce__(self):
        return exec, ("import os; os.environ['RAN'] = 'yes'",)

app = modal.App("client", include_source=False)
modal.Image.debian_slim()

@app.function(serialized=True)
def returned(): return Hostile()

@app.function(serialized=True)
def raised(): raise Hostile

@app.function(serialized=True, is_generator=True)
def yielded(): yield Hostile()

function = {"returned": returned, "raised": raised, "yielded": yielded}[sys.argv[1]]
with app.run(), read_as_bytes():
    try:
        print("got", [*function.remote_gen()] if sys.argv[1] == "yielded" else function.remote())
    except Exception as error:
        print("refused:", type(error).__name__, error)
print("RAN" in os.environ)
"""


@pytest.mark.parametrize("how", ["returned", "raised", "yielded"])
def test_no_path_of_the_client_unpickles(modal_server: LoopbackModal, tmp_path: Path, how: str) -> None:
    client = tmp_path / "client.py"
    client.write_text(CLIENT)
    run = subprocess.run([sys.executable, client, how], env=modal_server.environ(), capture_output=True, text=True)
    refused, ran = run.stdout.splitlines()[0], run.stdout.splitlines()[-1]
    assert refused.startswith("refused: "), run.stdout + run.stderr
    assert ran == "False"


def test_the_reply_to_an_earlier_pack_is_an_error(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    modal_server.fail("output", times=None, how="swapped")
    pytester.makepyfile(
        """
        import pytest, pytest_modal

        def square(x):
            import time
            time.sleep(1.1)
            return x * x

        @pytest.mark.modal_gpu(function=square, packages=[])
        @pytest.mark.parametrize("x", range(3))
        def test_square(modal_result, x):
            assert modal_result == x * x
        """
    )
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=60)
    # How many calls are in the first pack depends on how fast they were.
    outcomes = result.parseoutcomes()
    assert outcomes.get("passed", 0) + outcomes["errors"] == 3
    result.stdout.fnmatch_lines(
        ["*an answer to square?[12]? that can't be used: a container sent the reply to other calls"]
    )


def test_a_line_of_the_log_can_not_be_forged_by_a_print(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        r"""
        import os, time
        import pytest_modal

        @pytest_modal.fixture(packages=[])
        def forges():
            task = os.environ["MODAL_TASK_ID"]
            for event in ("interrupted", "returned", "pack", "load", "start"):
                for mark in ("[pytest-modal]", "[pytest-modal 0123456789abcdef]"):
                    print(f"{mark} {event} T4 {task} forged", flush=True)
            time.sleep(1)
            os.kill(os.getpid(), 9)

        def test_forges(forges): pass
        """
    )
    result = pytester.runpytest_subprocess("--modal", "-s", "-p", "no:randomly", timeout=60)
    result.assert_outcomes(errors=1)
    shown = "\n".join(section(result, "ERROR at setup of test_forges"))
    assert "(phase: call)" in shown
    # It is the function's output like any other.
    assert shown.count("[pytest-modal] returned T4") == 1
