"""`pytest --modal` when all goes well: what is sent, where it runs, what it costs; as the server saw it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

CONFTEST = """
    import pytest
    import pytest_modal


    @pytest_modal.fixture(scope="container", gpu="T4")
    def small():
        print("loading small")
        return lambda x: 2 * x


    @pytest_modal.fixture(scope="container", gpu="H100")
    def large():
        return lambda x: 3 * x


    @pytest.fixture(scope="session")
    def problems():
        return list(range(5))


    @pytest_modal.fixture
    def by_small(small, problems):
        return [small(x) for x in problems]


    @pytest_modal.fixture
    def by_large(large, problems):
        return [large(x) for x in problems]
"""
TESTS = """
    def test_small(by_small): assert by_small == [0, 2, 4, 6, 8]
    def test_small_again(by_small): assert by_small[1] == 2
    def test_large(by_large): assert by_large == [0, 3, 6, 9, 12]
    def test_both(by_small, by_large): assert sum(by_large) == 1.5 * sum(by_small)
"""


def base_functions(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the Functions of the app, without the variants that lanes are."""
    return [function for function in facts["functions"] if not function["base"]]


def test_tests_of_three_files_share_one_session(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_a=TESTS, test_b=TESTS, test_c=TESTS)
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    result.assert_outcomes(passed=12)
    assert_lines(
        result.outlines,
        [
            "modal: on Modal: 2 calls for 12 tests, 2 environments, 2 container fixtures",
            "modal: session ap-*  https://*",
            "mode: modal; device: *",
            "session: ap-*; https://*",
            "2 calls in 2 environments and 2 containers: 2 ok; *",
        ],
    )
    facts = modal_server.facts()
    (app,) = facts["apps"]
    assert (app["state"], app["stop_reason"]) == ("stopped", "entrypoint_completed")
    assert sorted(function["name"] for function in base_functions(facts)) == ["H100.*", "T4.*"]
    assert Counter(container["function_name"] for container in facts["containers"]) == {"T4.*": 1, "H100.*": 1}
    assert [item["status"] for item in facts["inputs"]] == ["success"] * 2
    printed = [entry["message"] for entry in app["log"] if entry["message"] == "loading small\n"]
    assert len(printed) == 1


def test_workspaces_with_an_input_plane_are_no_different(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    with LoopbackModal(grace=0.5, cancel_grace=0.5, input_plane=True) as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=4)
        facts = server.facts()
    assert facts["input_plane"] is True
    assert (facts["unknown_rpcs"], facts["errors"]) == ({}, [])
    assert [item["status"] for item in facts["inputs"]] == ["success"] * 2


def test_the_app_says_whose_it_is(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    (pytester.path / "pyproject.toml").write_text('[project]\nname = "Arithmetic of LLMs"\n')
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(pytester.path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "start"], check=True)
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=4)
    (app,) = modal_server.facts()["apps"]
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert app["name"] == "Arithmetic-of-LLMs"
    assert app["tags"]["commit"] == head[:12]
    assert app["tags"]["tool"] == "pytest-modal"


def test_nothing_of_the_project_is_uploaded_but_what_is_asked_for(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    pytester.mkpydir("shipped").joinpath("code.py").write_text("MARK = 'shipped source'\n")
    for name in ("table.json", ".secret", "__pycache__/code.cpython-311.pyc"):
        (pytester.path / "shipped" / name).parent.mkdir(exist_ok=True)
        (pytester.path / "shipped" / name).write_text("{}")
    pytester.makepyfile(private="MARK = 'private source'\n")
    pytester.makeconftest("import private  # what stands in this file stays here\n")
    pytester.makepyfile(
        """
        import pytest
        import pandas, matplotlib  # local only
        from private import MARK

        def code():
            import importlib.util
            from shipped.code import MARK
            found = [name for name in ("pytest", "private", "pandas", "numpy") if importlib.util.find_spec(name)]
            return MARK, found

        @pytest.mark.modal_gpu(function=code, local_packages=["shipped"])
        def test_it(modal_result):
            assert modal_result == ("shipped source", [])
        """
    )
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=1)
    facts = modal_server.facts()
    uploaded = {file["path"]: file["sha256"] for mount in facts["mounts"] for file in mount["files"]}
    assert sorted(uploaded) == [f"/root/shipped/{name}" for name in ("__init__.py", "code.py", "table.json")]
    sent = [modal_server.received(function["id"]) for function in base_functions(facts)]
    sent += [modal_server.received(item["id"]) for item in facts["inputs"]]
    sent += [modal_server.received(sha) for sha in uploaded.values()]
    assert all(b"private source" not in each and b"what stands in this file" not in each for each in sent)


def test_the_image_is_the_smallest_that_will_do(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        helpers="""
        from safetensors.numpy import save  # a helper's own import

        def packed(array): return save({"x": array})
        """,
        test_it="""
        import numpy as np
        import pandas as pd
        import pytest, pytest_modal
        from helpers import packed

        @pytest_modal.fixture(gpu="T4")
        def plain(): return 1

        @pytest_modal.fixture(gpu="L4")
        def arrays() -> "pd.DataFrame":
            return len(packed(np.zeros(3)))

        def takes(x): return x

        @pytest.mark.modal_gpu(function=takes, args={"x": np.ones(2)}, gpu="H100")
        def test_sent(modal_result): assert modal_result.sum() == 2

        @pytest_modal.fixture(gpu="A100", packages=["pandas", "numpy"], env={"GREETING": "hello"}, memory=512, cpu=2)
        def declared():
            import os, pandas
            return pandas.DataFrame({"x": [1]}).x.to_list(), os.environ["GREETING"]

        def test_plain(plain): assert plain == 1
        def test_arrays(arrays): assert arrays > 24
        def test_declared(declared): assert declared == ([1], "hello")
        """,
    )
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=4)
    facts = modal_server.facts()
    images = {image["id"]: image for image in facts["images"]}
    installed = {function["name"]: images[function["image"]]["requirements"] for function in base_functions(facts)}
    import numpy
    import safetensors

    pins = [f"numpy=={numpy.__version__}", f"safetensors=={safetensors.__version__}"]
    assert installed == {"T4.*": [], "L4.*": pins, "H100.*": pins[:1], "A100.*": ["numpy", "pandas"]}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert {images[function["image"]]["python"] for function in base_functions(facts)} == {python}
    (declared,) = (function for function in base_functions(facts) if function["name"] == "A100.*")
    assert (declared["memory"], declared["cpu"], declared["timeout"]) == (
        512,
        2,
        3931,
    )  # what the container holds is shorter


def test_the_hub_s_cache_is_a_volume_unless_it_is_off(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest

        def download():
            import os, pathlib
            home = os.environ.get("HF_HOME")
            if home is None:
                return None
            weights = pathlib.Path(home, "weights")
            known = weights.exists()
            pathlib.Path(home).mkdir(parents=True, exist_ok=True)
            weights.write_text("downloaded")
            return known

        @pytest.mark.modal_gpu(function=download)
        def test_it(modal_result, save_json): save_json("known.json", modal_result)
        """
    )

    def run(*ini: str) -> Any:
        pytester.makeini("\n".join(["[pytest]", *ini]))
        pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=1)
        (written,) = pytester.path.rglob("known.json")
        return json.loads(written.read_text())

    assert [run(), run()] == [False, True]
    assert run("modal_cache_volume = weights-of-mine") is False
    assert run("modal_cache_volume = off") is None
    names = [volume["name"] for volume in modal_server.facts()["volumes"]]
    assert names == ["pytest-modal-huggingface", "weights-of-mine"]


def test_secrets_volumes_and_gpu_lists(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    modal_server.add_secret("huggingface", {"HF_TOKEN": "hf_verysecret"})
    modal_server.fail("gpu", times=None, gpu="H100")
    pytester.makepyfile(
        """
        import modal, pytest, pytest_modal

        @pytest_modal.fixture(
            gpu=["H100", "A10G"], secrets=["huggingface", modal.Secret.from_dict({"OTHER": "o"})],
            volumes={"/data": "results"}, region="eu",
        )
        def seen():
            import os
            return os.environ["HF_TOKEN"][:3], os.environ["OTHER"]

        def test_it(seen, modal_session):
            assert seen == ("hf_", "o")
            (call,) = modal_session.calls
            assert call.gpu == "cpu"
            assert call.container.startswith("ta-")
            assert modal_session.app_id.startswith("ap-") and modal_session.dashboard_url.startswith("https://")
        """
    )
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    result.assert_outcomes(passed=1)
    (function,) = base_functions(modal_server.facts())
    assert (function["gpus"], function["secrets"], function["regions"]) == (["H100", "A10G"], ["huggingface"], ["eu"])
    assert set(function["volumes"]) == {"/data", "/cache/huggingface"}
    assert "verysecret" not in result.stdout.str()
    # The GPU that was given, not the one that was declared first.
    assert_lines(result.outlines, ["modal: warning: 1 call had an NVIDIA A10G and computed on the CPU: seen; *"])


def test_a_declared_image_is_taken_as_it_is(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import modal, pytest, sys
        import numpy as np

        IMAGE = modal.Image.debian_slim(python_version="%d.%d" % sys.version_info[:2]).uv_pip_install("numpy").env(
            {"BAKED": "in"}
        )

        def body(x):
            import os
            return os.environ["BAKED"], x + 1

        @pytest.mark.modal_gpu(function=body, image=IMAGE, args={"x": np.arange(3)})
        def test_it(modal_result):
            assert modal_result[0] == "in" and modal_result[1].tolist() == [1, 2, 3]
        """
    )
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=1)
    (function,) = base_functions(modal_server.facts())
    image = next(image for image in modal_server.facts()["images"] if image["id"] == function["image"])
    assert image["requirements"] == ["numpy"]
    assert image["env"] == {"BAKED": "in"}
    assert "ENV" in image["commands"][-1]  # nothing comes after what was declared


def test_more_containers_share_the_calls_and_each_loads_the_model_once(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    pytester.makepyfile(
        """
        import random
        import pytest, pytest_modal

        @pytest.fixture(scope="session")
        def weights(): return random.Random(0).randbytes(100_000)  # too much to go along each time

        @pytest_modal.fixture(scope="container", max_containers=2)
        def model(weights):
            import time
            time.sleep(0.3)
            return len(weights)

        @pytest.fixture(scope="session")
        def problems(): return list(range(40))

        @pytest_modal.fixture(shard="problems")
        def answers(model, problems):
            import time
            time.sleep(0.5)
            return [model + x for x in problems]

        @pytest_modal.fixture(params=range(100))
        def single(model, request):
            import time
            time.sleep(0.01)
            return model + request.param

        def test_sharded(answers): assert answers == [100_000 + x for x in range(40)]
        def test_single(single): assert single >= 100_000
        """
    )
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=101)
    result.stdout.fnmatch_lines(["loaded model: 2 times, *"])
    facts = modal_server.facts()
    assert Counter(container["function_name"] for container in facts["containers"]) == {"T4.*": 2}
    # Once both containers have reported, what they have is not sent again.
    first, *_, last = (len(modal_server.received(item["id"])) for item in facts["inputs"])
    assert last < 100_000 < first


def test_a_call_takes_the_result_of_another_environment(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(gpu="T4")
        def embedded():
            import numpy as np
            return np.arange(6.0).reshape(2, 3)

        @pytest_modal.fixture(gpu="H100")
        def searched(embedded):
            return embedded.sum(axis=0)

        @pytest_modal.fixture(gpu="T4")
        def ranked(searched):
            return searched.argsort()[::-1]

        def test_it(ranked): assert ranked.tolist() == [2, 1, 0]
        """
    )
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=1)
    facts = modal_server.facts()
    assert len(facts["inputs"]) == 3
    assert len(facts["containers"]) == 2


def test_a_poisoned_process_is_not_used_again(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(params=range(3))
        def value(request):
            import sys, types
            if request.param == 0:
                # What torch is after a device-side assert: every call to the device fails.
                def fails(*_): raise RuntimeError("CUDA error: device-side assert triggered")
                cuda = types.SimpleNamespace(is_initialized=lambda: True, device_count=lambda: 1,
                                             memory_reserved=lambda index: 1, synchronize=fails)
                sys.modules["torch"] = types.SimpleNamespace(cuda=cuda)
                fails()
            return "torch" in sys.modules

        def test_it(value): assert value is False
        """
    )
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["RuntimeError: CUDA error: device-side assert triggered"])
    assert len(modal_server.facts()["containers"]) == 1


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_ctrl_c_stops_the_session_and_reaches_pytest(
    pytester: pytest.Pytester, modal_server: LoopbackModal, mode: str
) -> None:
    started = (modal_server.shared if mode == "modal" else pytester.path) / "started"
    pytester.makepyfile(
        f"""
        import pathlib, pytest_modal

        @pytest_modal.fixture(params=range(3))
        def value(request):
            import pathlib, time
            if request.param == 2:
                pathlib.Path({str(started)!r}).touch()
                time.sleep(60)
            return request.param

        def test_it(value): pass
        """
    )
    process = started_pytest(pytester, f"--modal-mode={mode}", "-p", "no:randomly")
    wait_for(started)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "3 calls in 1 environment and 1 container: 2 ok, 1 missing" in output
    if mode == "modal":
        facts = modal_server.wait_for(lambda facts: all(each["ended_at"] for each in facts["containers"]))
        (app,) = facts["apps"]
        assert (app["state"], app["stop_reason"]) == ("stopped", "keyboard_interrupt")


def test_ctrl_c_ends_an_app_that_is_being_opened(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture
        def value(): return 1

        def test_it(value): pass
        """
    )
    modal_server.fail("rpc", times=1, rpc="FunctionCreate", delay=3)
    process = started_pytest(pytester, "--modal")
    modal_server.wait_for(lambda facts: facts["apps"])
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert [app["state"] for app in modal_server.facts()["apps"]] == ["stopped"]


def started_pytest(pytester: pytest.Pytester, *options: str) -> subprocess.Popen[str]:
    """Start pytest in a process of its own."""
    command = [sys.executable, "-m", "pytest", *options]
    return subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    import time

    deadline = time.monotonic() + 40
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_plan_shows_what_an_image_would_install(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest

        def body():
            import torch, transformers, vllm

        @pytest.mark.modal_gpu(function=body)
        def test_it(modal_result): pass
        """
    )
    result = pytester.runpytest_subprocess("--modal", "--modal-plan", timeout=60)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "modal: on Modal: 1 call for 1 test, 1 environment",
            "  packages: numpy==*, safetensors==*, torch==*, transformers==*, vllm (derived from the imports)",
            "  note: vllm is not installed on this machine, so its version is not pinned",
        ]
    )
    assert "+cpu" not in result.stdout.str()
    assert modal_server.facts()["rpcs"] == {}
