"""The device of a call: the one that it used, and a line for a GPU that was given and not used."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal
from pretended_gpu import COMPUTE, install

SUITE = f"""
import pytest, pytest_modal
{COMPUTE}
@pytest_modal.fixture
def used():
    compute_on_gpu()
    return 1

@pytest_modal.fixture(params=["a", "b"])
def forgotten(request):
    return 2

@pytest_modal.fixture(gpu=None)
def modest():
    return 3

def test_used(used): pass
def test_forgotten(forgotten): pass
def test_modest(modest): pass

def test_devices(modal_session):
    assert {{call.name: call.gpu for call in modal_session.calls}} == {{
        "used": "Tesla T4", "forgotten[a]": "cpu", "forgotten[b]": "cpu", "modest": "cpu"
    }}
    assert next(call.peak_memory for call in modal_session.calls if call.name == "used") == 4096
"""

WARNING = (
    "modal: warning: 2 calls had a Tesla T4 and computed on the CPU: forgotten[a], forgotten[b]; "
    'move the model and its inputs to "cuda", or declare gpu=None'
)


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_a_gpu_that_was_paid_for_and_not_used_is_a_line_of_the_summary(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, modal_server: LoopbackModal, mode: str
) -> None:
    install(pytester.path / "tools", monkeypatch)
    pytester.makepyfile(SUITE)
    result = pytester.runpytest_subprocess(f"--modal-mode={mode}", timeout=60)
    result.assert_outcomes(passed=5)
    assert_lines(result.outlines, [WARNING, f"mode: {mode}; device: *Tesla T4*"])


def test_a_machine_without_a_gpu_has_none_to_forget(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    install(pytester.path / "tools", monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    pytester.makepyfile("import pytest_modal\n@pytest_modal.fixture\ndef one(): return 1\ndef test_one(one): pass")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)
    assert_lines(result.outlines, ["mode: local; device: cpu"])
    assert "computed on the CPU" not in result.stdout.str()


def test_a_recording_keeps_the_device_that_was_used(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        f"""
        import pytest_modal
        {COMPUTE.replace(chr(10), chr(10) + "        ")}
        @pytest_modal.fixture
        def used():
            compute_on_gpu()
            return 1

        def test_used(used): pass
        """
    )
    pytester.runpytest_subprocess("--modal", "--modal-record", timeout=60).assert_outcomes(passed=1)
    result = pytester.runpytest_subprocess("--modal-mode=replay")
    result.assert_outcomes(passed=1)
    assert_lines(result.outlines, ["mode: replay; device: Tesla T4, recorded 20*"])
    assert "computed on the CPU" not in result.stdout.str()
