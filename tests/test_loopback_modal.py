"""The contract of the loopback Modal server: the real client, and Modal's own container runtime, live with it.

Goes through what the server's README lists. Each client is a process of its own, because the client is a
process-wide singleton; it prints what it saw as one line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("modal")

from loopback_modal import LoopbackError, LoopbackModal

CONTRACT = Path(__file__).parent / "loopback_modal" / "contract"
PLANES = [pytest.param(False, id="control-plane"), pytest.param(True, id="input-plane")]
both_planes = pytest.mark.parametrize("input_plane", PLANES)
Client = Callable[..., dict[str, Any]]


def alive(pid: int) -> bool:
    """Whether a process exists and has not merely been forgotten by its parent."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def start(server: LoopbackModal, path: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start a client process."""
    return subprocess.Popen(
        [sys.executable, str(path), *arguments],
        env=server.environ(PYTHONPATH=str(CONTRACT), **env),
        cwd=path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 40) -> dict[str, Any]:
    """Wait for a client, and return what it reported."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        pytest.fail(f"the client hangs\n{stdout}\n{stderr}")
    assert process.returncode == 0, stderr
    report: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    return report | {"stdout": stdout, "stderr": stderr}


def python_in_root() -> set[str]:
    """Return the entry of `/root` that has the Python of containers, where it is installed there."""
    parts = Path(sys.base_prefix).resolve().parts
    return {parts[2]} if parts[:2] == ("/", "root") else set()


def settled(server: LoopbackModal) -> dict[str, Any]:
    """Return the facts once every container has ended."""
    return server.wait_for(lambda facts: all(container["ended_at"] for container in facts["containers"]))


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[bool], LoopbackModal]]:
    """One server for each way of calling functions, started when it is first asked for."""
    started: dict[bool, LoopbackModal] = {}

    def get(input_plane: bool) -> LoopbackModal:
        if input_plane not in started:
            started[input_plane] = LoopbackModal(grace=0.5, cancel_grace=0.5, input_plane=input_plane)
            started[input_plane].start()
        return started[input_plane]

    yield get
    for server in started.values():
        server.close()


@pytest.fixture
def input_plane() -> bool:
    """Which way functions are called; tests for which it matters are parametrized."""
    return False


@pytest.fixture
def server(servers: Callable[[bool], LoopbackModal], input_plane: bool) -> Iterator[LoopbackModal]:
    """A server without a past, that must have understood everything in the end."""
    server = servers(input_plane)
    server.reset()
    yield server
    facts = server.facts()
    assert facts["unknown_rpcs"] == {}
    assert facts["errors"] == []


@pytest.fixture
def write_client(tmp_path: Path) -> Callable[[str], Path]:
    """Write a short client that begins with all of `contract/scenario.py`."""

    def write(source: str) -> Path:
        path = tmp_path / "client.py"
        path.write_text("from scenario import *\n\n" + textwrap.dedent(source), encoding="utf-8")
        return path

    return write


@pytest.fixture
def client(server: LoopbackModal, write_client: Callable[[str], Path]) -> Client:
    """Run a short client to its end, and return what it reported."""

    def run(source: str, **env: str) -> dict[str, Any]:
        return finish(start(server, write_client(source), **env))

    return run


# The tour: everything that works


@pytest.fixture(scope="module", params=PLANES)
def tour(request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the long client reported, and what the server knows of it."""
    with LoopbackModal(input_plane=request.param) as server:
        server.add_secret("huggingface", {"HF_TOKEN": "hf_secret"})
        report = finish(start(server, CONTRACT / "tour.py"), timeout=60)
        facts = settled(server)
    return report, facts


def test_tour_returns_values(tour: tuple[dict[str, Any], dict[str, Any]]) -> None:
    report, _ = tour
    assert report["remote"]["value"] == 42
    assert report["map"]["value"] == [2 * x for x in range(60)]
    assert sorted(report["unordered"]["value"]) == [2, 4, 6]
    assert report["generator"]["value"] == [0, 1, 2, 3, 4]
    assert report["class"]["value"] == [["a", "x", 1], ["a", "y", 2]]
    assert report["class_default"]["value"] == ["gpt2", "z", 1]
    spawned = report["spawn"]["value"]
    assert (spawned["first"], spawned["again"], spawned["inputs"]) == (10, 10, 1)


def test_tour_brings_exceptions_back(tour: tuple[dict[str, Any], dict[str, Any]]) -> None:
    report, _ = tour
    assert (report["raises"]["error"], report["raises"]["message"]) == ("ValueError", "not one")
    assert (report["exits"]["error"], report["exits"]["message"]) == ("SystemExit", "3")
    assert report["exceptions"]["value"] == ["0", "ValueError('not one')", "3"]


def test_tour_moves_large_payloads_as_blobs(tour: tuple[dict[str, Any], dict[str, Any]]) -> None:
    report, facts = tour
    assert report["blob_3"]["value"] is True
    assert report["blob_50"]["value"] == 50_000_000
    echoed = [item for item in facts["inputs"] if item["function_name"] == "echo"]
    assert all(item["blob"] and item["output_blob"] for item in echoed)
    assert {blob["by"] for blob in facts["blobs"]} == {"client", "container"}


def test_tour_sees_only_its_image(tour: tuple[dict[str, Any], dict[str, Any]]) -> None:
    report, facts = tour
    seen = report["surroundings"]["value"]
    assert seen["modules"] == ["numpy", "modal"]
    assert seen["env"] == {"HF_TOKEN": "hf_secret", "GREETING": "hello", "MODAL_IS_REMOTE": "1"}
    assert seen["foreign"] == []
    assert set(seen["files"]) - python_in_root() <= {"tour.py", "__pycache__"}
    assert seen["gpu"] == "Tesla T4"
    assert seen["local"] is False
    (image,) = (image for image in facts["images"] if image["env"])
    assert image["requirements"] == ["numpy"]
    assert image["env"] == {"HF_HOME": "/models/hf"}
    assert image["builds"] == 1


def test_tour_keeps_its_volume(tour: tuple[dict[str, Any], dict[str, Any]]) -> None:
    report, facts = tour
    (volume,) = facts["volumes"]
    assert volume["name"] == "models"
    assert volume["commits"] >= 1
    assert report["surroundings_again"]["value"]["seen"] == report["surroundings"]["value"]["seen"] + 1


def test_tour_logs_with_ids(tour: tuple[dict[str, Any], dict[str, Any]]) -> None:
    report, facts = tour
    assert {"source": "stdout", "message": "doubling 21\n"} in report["log"]["value"]
    assert {"source": "stderr", "message": "careful with 21\n"} in report["log"]["value"]
    inputs = {item["id"]: item for item in facts["inputs"]}
    containers = {container["id"]: container for container in facts["containers"]}
    for entry in facts["apps"][0]["log"]:
        if entry["message"].startswith("doubling"):
            assert inputs[entry["input"]]["call"] == entry["call"]
            assert entry["input"] in containers[entry["container"]]["executed"]
            assert inputs[entry["input"]]["function"] == entry["function"]


def test_tour_leaves_facts(tour: tuple[dict[str, Any], dict[str, Any]]) -> None:
    report, facts = tour
    assert facts["unknown_rpcs"] == {}
    assert facts["errors"] == []
    (app,) = facts["apps"]
    assert app["id"] == report["app_id"]
    assert (app["name"], app["tags"], app["state"]) == ("tour", {"commit": "abc123", "run": "7"}, "stopped")
    assert (app["stop_reason"], app["stop_source"]) == ("entrypoint_completed", "client")
    functions = {function["name"]: function for function in facts["functions"] if not function["base"]}
    assert set(functions) == {"double", "picky", "count", "echo", "surroundings", "Model.*"}
    rich = functions["surroundings"]
    assert (rich["gpus"], rich["timeout"], rich["memory"]) == (["T4"], 600, 1024)
    assert (rich["secrets"], rich["env_names"]) == (["huggingface"], ["GREETING"])
    assert list(rich["volumes"]) == ["/models"]
    assert len(functions["picky"]["containers"]) == 1
    assert {container["end_reason"] for container in facts["containers"]} == {"app stopped"}
    uploaded = [file["path"] for mount in facts["mounts"] for file in mount["files"]]
    assert uploaded == ["/root/tour.py"]
    planes = {call["from_input_plane"] for call in facts["calls"] if not call["spawned"]}
    assert planes == {facts["input_plane"]}


# Time limits, crashes, preemption, cancelling


def test_timeout_cancels_the_input_and_spares_the_container(client: Client, server: LoopbackModal) -> None:
    report = client("""
        @serialized(timeout=1, startup_timeout=60)
        def nap(seconds):
            time.sleep(seconds)
            return os.environ["MODAL_TASK_ID"]

        with app.run():
            out["before"] = attempt(nap.remote, 0)
            out["long"] = attempt(nap.remote, 30)
            out["after"] = attempt(nap.remote, 0)
    """)
    assert report["long"]["error"] == "FunctionTimeoutError"
    assert "hit its timeout of 1s" in report["long"]["message"]
    assert report["long"]["seconds"] < 25
    assert report["after"]["value"] == report["before"]["value"]


def test_timeout_kills_a_container_that_does_not_let_go(client: Client, server: LoopbackModal) -> None:
    report = client("""
        @serialized(timeout=1, startup_timeout=60, max_containers=1)
        def stubborn(seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                with contextlib.suppress(BaseException):
                    time.sleep(end - time.monotonic())

        with app.run():
            out["long"] = attempt(stubborn.remote, 30)
            out["after"] = attempt(stubborn.remote, 0)
    """)
    assert report["long"]["error"] == "FunctionTimeoutError"
    assert report["after"]["value"] is None
    reasons = [container["end_reason"] for container in settled(server)["containers"]]
    assert reasons[0] == "timeout"
    assert len(reasons) == 2


@both_planes
def test_crash_is_tried_again_and_then_fails_what_waits(client: Client, server: LoopbackModal) -> None:
    server.fail("crash", function="fine")
    report = client("""
        @serialized(max_containers=1)
        def fine(x):
            time.sleep(0.2)
            return x

        @serialized(max_containers=1)
        def poison(x):
            if x == 1:
                os.kill(os.getpid(), signal.SIGSEGV)
            return x

        with app.run():
            out["fine"] = attempt(fine.remote, 7)
            out["poison"] = attempt(lambda: [repr(x) for x in poison.map(range(3), return_exceptions=True)])
    """)
    assert report["fine"]["value"] == 7
    failed = "RemoteError('Runner failed with exit code: 139')"
    assert report["poison"]["value"] == ["0", failed, failed]
    facts = settled(server)
    fine, *poisoned = facts["inputs"]
    assert [attempt["ended"] for attempt in fine["attempts"]] == ["crashed", "output"]
    assert [len(item["attempts"]) for item in poisoned] == [1, 4, 0]


def test_failed_start_brings_its_exception(write_client: Callable[[str], Path]) -> None:
    path = write_client("""
        @app.cls(serialized=True, image=image)
        class Broken:
            @modal.enter()
            def load(self):
                raise LookupError("no such model")

            @modal.method()
            def ask(self):
                return 1

        with app.run():
            out["start"] = attempt(Broken().ask.remote)
    """)
    with LoopbackModal(crash_limit=2) as server:
        report = finish(start(server, path))
        assert len(server.facts()["containers"]) == 2
    assert (report["start"]["error"], report["start"]["message"]) == ("LookupError", "no such model")


def test_startup_timeout(client: Client, server: LoopbackModal) -> None:
    report = client("""
        @app.cls(serialized=True, image=image, startup_timeout=1, timeout=60)
        class Slow:
            @modal.enter()
            def load(self):
                time.sleep(30)

            @modal.method()
            def ask(self):
                return 1

        with app.run():
            out["ask"] = attempt(Slow().ask.remote)
    """)
    assert report["ask"]["error"] == "FunctionTimeoutError"
    assert "startup" in report["ask"]["message"]


@both_planes
def test_preempted_input_runs_again(client: Client, server: LoopbackModal) -> None:
    server.fail("preempt", after=0.2)
    report = client("""
        @serialized(max_containers=1)
        def work(x):
            try:
                time.sleep(1)
            except KeyboardInterrupt:
                print("interrupted")
                raise
            return x

        with app.run():
            out["work"] = attempt(work.remote, 3)
    """)
    assert report["work"]["value"] == 3
    facts = settled(server)
    assert [attempt["ended"] for attempt in facts["inputs"][0]["attempts"]] == ["preempted", "output"]
    assert facts["functions"][0]["crashes"] == 0
    assert "interrupted\n" in [entry["message"] for entry in facts["apps"][0]["log"]]


def test_cancel(client: Client, server: LoopbackModal) -> None:
    report = client("""
        @serialized(max_containers=1)
        def nap(seconds):
            time.sleep(seconds)
            return seconds

        with app.run():
            out["warm"] = attempt(nap.remote, 0)
            running, waiting = nap.spawn(30), nap.spawn(30)
            time.sleep(0.3)
            waiting.cancel()
            running.cancel()
            out["waiting"] = attempt(waiting.get, timeout=10)
            out["running"] = attempt(running.get, timeout=10)
            hard = nap.spawn(30)
            time.sleep(0.3)
            hard.cancel(terminate_containers=True)
            out["hard"] = attempt(hard.get, timeout=10)
            out["after"] = attempt(nap.remote, 0)
    """)
    for name in ("waiting", "running", "hard"):
        assert report[name]["error"] == "RemoteError"
    assert report["after"]["value"] == 0
    assert settled(server)["containers"][0]["end_reason"] == "cancelled"


@both_planes
def test_spawn_polls_and_retries(client: Client, server: LoopbackModal) -> None:
    source = """
        @serialized(retries=modal.Retries(max_retries=1, initial_delay=0.1, backoff_coefficient=1.0))
        def second_time(path):
            with open(path, "a") as file:
                file.write("x")
                if file.tell() < 2:
                    raise ValueError(f"try {file.tell()}")
            return "at last"

        with app.run():
            here = os.environ["SHARED"]
            call = second_time.spawn(here + "/spawned")
            out["poll"] = attempt(call.get, timeout=0)
            out["spawn"] = attempt(call.get, timeout=20)
            out["remote"] = attempt(second_time.remote, here + "/remote")
    """
    report = client(source, SHARED=str(server.shared))
    assert report["poll"]["error"] == "TimeoutError"
    assert report["spawn"]["value"] == report["remote"]["value"] == "at last"


def test_threads_follow_the_cores_that_were_asked_for(client: Client) -> None:
    report = client("""
        def threads():
            return os.environ["OMP_NUM_THREADS"]

        for cpu in (None, 0.5, 2, 3.5):
            serialized(name=f"cpu-{cpu}", cpu=cpu)(threads)
        with app.run():
            out["threads"] = [function.remote() for function in app.registered_functions.values()]
    """)
    assert report["threads"] == ["1", "1", "2", "4"]


def test_containers_scale_within_their_limit(client: Client, server: LoopbackModal) -> None:
    report = client("""
        @serialized(max_containers=2)
        def where(x):
            time.sleep(0.2)
            return os.environ["MODAL_TASK_ID"]

        with app.run():
            out["where"] = attempt(lambda: list(where.map(range(8))))
    """)
    assert len(set(report["where"]["value"])) == 2
    assert len(server.facts()["containers"]) == 2


def test_concurrent_batched_and_nested_calls(client: Client, server: LoopbackModal) -> None:
    report = client("""
        @serialized(max_containers=1)
        @modal.concurrent(max_inputs=4)
        def together(x):
            time.sleep(0.5)
            return os.getpid()

        @serialized(max_containers=1)
        @modal.batched(max_batch_size=4, wait_ms=500)
        def batch(xs):
            return [len(xs)] * len(xs)

        @serialized(max_containers=1)
        def inner(x):
            return x + 1

        @serialized(max_containers=1)
        def outer(x):
            return inner.remote(x) + sum(inner.map(range(3)))

        with app.run():
            out["together"] = attempt(lambda: list(together.map(range(4))))
            out["batch"] = attempt(lambda: list(batch.map(range(4))))
            out["nested"] = attempt(outer.remote, 1)
    """)
    assert len(set(report["together"]["value"])) == 1
    assert report["batch"]["value"] == [4] * 4
    assert report["nested"]["value"] == 8


# Images


def test_image_build_failures(client: Client, server: LoopbackModal) -> None:
    server.fail("image_build", match="flaky", log=["downloading flaky", "no space left"])
    report = client("""
        def build(*packages, base=image):
            broken = modal.App("broken")
            broken.function(serialized=True, image=base.uv_pip_install(*packages))(lambda: None)
            try:
                with broken.run():
                    pass
            except modal.exception.ImageBuildError as error:
                log = [entry.message for entry in modal.Image.from_id(error.image_id).logs.fetch()]
                return {"message": str(error), "log": "".join(log)}

        out["told"] = attempt(build, "flaky==1.0")
        out["unknown"] = attempt(build, "no-such-package")
        out["version"] = attempt(build, "numpy==0.1")
        repository = "numpy @ git+https://example.org/numpy.git@0123abc"
        out["without git"] = attempt(build, repository)
        out["with git"] = attempt(build, repository, base=image.apt_install("git"))
    """)
    assert "Image build for im-" in report["told"]["value"]["message"]
    assert "no space left" in report["told"]["value"]["log"]
    assert "no-such-package was not found" in report["unknown"]["value"]["log"]
    assert "no version of numpy==0.1" in report["version"]["value"]["log"]
    assert "Git executable not found" in report["without git"]["value"]["log"]
    assert "Failed to download" in report["with git"]["value"]["log"]
    assert {app["stop_reason"] for app in server.facts()["apps"]} == {"local_exception"}


def test_another_python_is_pretended_in_a_build_and_refused_for_a_function(
    client: Client, server: LoopbackModal
) -> None:
    report = client("""
        other = "3.12" if sys.version_info[:2] != (3, 12) else "3.13"
        image = modal.Image.debian_slim(python_version=other)
        here = "%d.%d" % sys.version_info[:2]
        check = f"python -c 'import sys; assert \\"%d.%d\\" % sys.version_info[:2] == \\"{here}\\", sys.version_info'"

        def build(image):
            broken = modal.App("broken")
            broken.function(serialized=True, image=image)(lambda: None)
            broken.run().__enter__()

        out["checked"] = attempt(build, image.run_commands(check))
        out["unchecked"] = attempt(build, image)
    """)
    assert report["checked"]["error"] == "ImageBuildError"
    assert report["unchecked"]["error"] == "InvalidError"
    failed = [image for image in server.facts()["images"] if image["failed"]]
    assert "AssertionError: (3, 1" in "".join(failed[0]["log"])


def test_package_that_the_image_lacks_is_missing(client: Client, server: LoopbackModal) -> None:
    report = client("""
        def version():
            import numpy

            return numpy.__version__

        serialized(name="without")(version)
        serialized(name="with", image=image.uv_pip_install("numpy"))(version)
        with app.run():
            out["without"] = attempt(app.registered_functions["without"].remote)
            out["with"] = attempt(app.registered_functions["with"].remote)
    """)
    assert report["without"]["error"] == "ModuleNotFoundError"
    assert report["with"]["value"]


def test_local_source_is_all_that_is_uploaded(client: Client, server: LoopbackModal, tmp_path: Path) -> None:
    for name in ("shipped", "baked"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"NAME = {name!r}\n", encoding="utf-8")
    (tmp_path / "private.py").write_text("KEY = 1\n", encoding="utf-8")
    report = client("""
        with_code = image.add_local_python_source("baked", copy=True).add_local_python_source("shipped")

        @serialized(image=with_code)
        def names():
            import baked
            import shipped

            return [baked.NAME, shipped.NAME]

        @serialized(image=with_code)
        def secret():
            import private

        with app.run():
            out["names"] = attempt(names.remote)
            out["secret"] = attempt(secret.remote)
    """)
    assert report["names"]["value"] == ["baked", "shipped"]
    assert report["secret"]["error"] == "ModuleNotFoundError"
    facts = server.facts()
    uploaded = {file["path"]: file["sha256"] for mount in facts["mounts"] for file in mount["files"]}
    assert sorted(uploaded) == ["/root/baked/__init__.py", "/root/shipped/__init__.py"]
    assert server.received(uploaded["/root/baked/__init__.py"]) == b"NAME = 'baked'\n"
    assert all(b"private" in server.received(f["id"]) for f in facts["functions"] if f["name"] == "secret")


# GPUs


def test_gpus(client: Client, server: LoopbackModal) -> None:
    server.fail("gpu", times=None, gpu="H100")
    server.fail("gpu", times=None, gpu="L4", seconds=1.0)
    server.fail("substitute_gpu", gpu="A100", given="A100-80GB")
    report = client("""
        def device():
            import subprocess

            return subprocess.run(["nvidia-smi"], capture_output=True, text=True).stdout.strip()

        for gpu in ("T4", "A100", ["H100", "A10G"], "L4"):
            name = gpu if isinstance(gpu, str) else "list"
            serialized(name=name, gpu=gpu)(device)
        with app.run():
            for name, function in app.registered_functions.items():
                out[name] = attempt(function.remote)

        wrong = modal.App("wrong")
        wrong.function(serialized=True, image=image, gpu="H1000")(device)
        out["wrong"] = attempt(lambda: wrong.run().__enter__())
    """)
    assert report["T4"]["value"] == "Tesla T4"
    assert report["A100"]["value"] == "NVIDIA A100-SXM4-80GB"
    assert report["list"]["value"] == "NVIDIA A10G"
    assert report["L4"]["value"] == "NVIDIA L4"
    assert (report["wrong"]["error"], report["wrong"]["message"]) == (
        "InvalidError",
        "H1000 is not a valid GPU type",
    )
    facts = server.facts()
    assert [container["gpu"] for container in facts["containers"]] == ["T4", "A100-80GB", "A10G", "L4"]
    assert next(f for f in facts["functions"] if f["name"] == "list")["gpus"] == ["H100", "A10G"]


def test_variants_of_a_class_keep_its_list_of_gpus(client: Client, server: LoopbackModal) -> None:
    server.fail("gpu", times=None, gpu="H100")
    report = client("""
        @app.cls(serialized=True, image=image, gpu=["H100", "A10G"])
        class Lane:
            name: str = modal.parameter(default="")

            @modal.method()
            def work(self):
                return self.name

        with app.run():
            out["value"] = attempt(Lane(name="b").work.remote)
            out["stats"] = attempt(lambda: Lane(name="b").work.get_current_stats().num_total_runners)
            out["state"] = attempt(lambda: app.info(refresh=True).lifecycle.state.name)
    """)
    assert report["value"]["value"] == "b"
    assert report["stats"]["value"] == 1
    assert report["state"]["value"] == "EPHEMERAL"
    assert [container["gpu"] for container in server.facts()["containers"]] == ["A10G"]


def test_what_waits_for_a_gpu_is_no_runner(client: Client, server: LoopbackModal) -> None:
    server.fail("gpu", times=None, gpu="B200")
    report = client("""
        @serialized(gpu="B200")
        def never():
            return 1

        with app.run():
            call = never.spawn()
            stats = never.get_current_stats()
            out["stats"] = [stats.backlog, stats.num_total_runners]
    """)
    assert report["stats"] == [1, 0]


def test_no_gpu_at_all(client: Client, server: LoopbackModal) -> None:
    server.fail("gpu", times=None, gpu="B200")
    report = client("""
        @serialized(gpu="B200", timeout=1)
        def never():
            return 1

        with app.run():
            out["never"] = attempt(never.spawn().get, timeout=1.5)
    """)
    assert report["never"]["error"] == "TimeoutError"  # waiting for a GPU is not the function's time
    assert server.facts()["inputs"][0]["attempts"] == []


# What can be wrong around a session


def test_tokens(client: Client, server: LoopbackModal) -> None:
    source = """
        serialized()(lambda: None)
        out["run"] = attempt(lambda: app.run().__enter__())
    """
    for env in ({"MODAL_TOKEN_ID": "", "MODAL_TOKEN_SECRET": ""}, {"MODAL_TOKEN_SECRET": "as-wrong"}):
        report = client(source, **env)
        assert report["run"]["error"] == "AuthError"
        assert report["run"]["seconds"] < 10
    server.fail("token")
    assert client(source)["run"]["error"] == "AuthError"
    assert server.facts()["apps"] == []


def test_throttling_is_waited_for_and_quota_is_not(client: Client, server: LoopbackModal) -> None:
    server.fail("rpc", rpc="AppCreate", status="RESOURCE_EXHAUSTED", retry_after=0.5, times=2)
    server.fail("rpc", rpc="FunctionMap", status="RESOURCE_EXHAUSTED", message="GPU quota exceeded")
    report = client("""
        @serialized()
        def one():
            return 1

        out["enter"] = attempt(lambda: bool(app.run().__enter__()))
        out["quota"] = attempt(one.remote)
        out["then"] = attempt(one.remote)
    """)
    assert report["enter"]["value"] is True
    assert report["enter"]["seconds"] > 1
    assert (report["quota"]["error"], report["quota"]["message"]) == (
        "ResourceExhaustedError",
        "GPU quota exceeded",
    )
    assert report["then"]["value"] == 1


def test_limits(client: Client, server: LoopbackModal) -> None:
    report = client("""
        ballast = b"x" * (17 << 20)

        def heavy():
            return len(ballast)

        for label, options in {"heavy": {}, "long": {"timeout": 90_000}}.items():
            other = modal.App(label)
            other.function(serialized=True, image=image, **options)(heavy if label == "heavy" else lambda: 1)
            out[label] = attempt(lambda other=other: other.run().__enter__())
    """)
    assert report["heavy"]["error"] == "InvalidError"
    assert "16 MiB" in report["heavy"]["message"]
    assert report["long"]["error"] == "InvalidError"


def test_lost_connection_is_survived(server: LoopbackModal, write_client: Callable[[str], Path]) -> None:
    path = write_client("""
        @serialized()
        def nap(x):
            time.sleep(1.2)
            return x

        with app.run():
            out["nap"] = attempt(nap.remote, 1)
    """)
    process = start(server, path)
    server.wait_for(lambda facts: any(item["status"] == "running" for item in facts["inputs"]))
    server.drop_connections(seconds=0.5)
    report = finish(process)
    assert report["nap"]["value"] == 1
    assert len(server.facts()["inputs"]) == 1  # nothing was done twice


def test_server_that_stops_answering(server: LoopbackModal, write_client: Callable[[str], Path]) -> None:
    path = write_client("""
        @serialized()
        def one():
            return 1

        with app.run():
            out["before"] = attempt(one.remote)
            sys.stderr.write("hang now\\n")
            sys.stdin.readline()
            out["hung"] = attempt(one.remote)
    """)
    process = subprocess.Popen(
        [sys.executable, str(path)],
        env=server.environ(PYTHONPATH=str(CONTRACT)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "hang now" in process.stderr.readline()
    server.fail("hang", seconds=1.5, times=None)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    report = finish(process)
    assert report["hung"]["value"] == 1
    assert report["hung"]["seconds"] > 1


@both_planes
def test_app_stopped_from_outside(server: LoopbackModal, write_client: Callable[[str], Path]) -> None:
    path = write_client("""
        @serialized()
        def nap(x):
            time.sleep(30)

        with app.run():
            out["nap"] = attempt(nap.remote, 1)
            out["again"] = attempt(nap.remote, 1)
    """)
    process = start(server, path)
    facts = server.wait_for(lambda facts: any(item["status"] == "running" for item in facts["inputs"]))
    server.stop_app(facts["apps"][0]["id"])
    report = finish(process)
    assert report["nap"]["error"] == "RemoteError"
    assert "was stopped" in report["nap"]["message"]
    assert (report["again"]["error"], "is stopped" in report["again"]["message"]) == ("ConflictError", True)
    assert server.facts()["apps"][0]["stop_source"] == "web"


def test_interrupted_client_stops_its_app(server: LoopbackModal, write_client: Callable[[str], Path]) -> None:
    path = write_client("""
        @serialized()
        def nap():
            time.sleep(30)

        with app.run():
            nap.remote()
        out["after"] = "the block swallowed the interrupt"
    """)
    process = start(server, path)
    server.wait_for(lambda facts: any(item["status"] == "running" for item in facts["inputs"]))
    process.send_signal(signal.SIGINT)
    assert finish(process)["after"]
    facts = settled(server)
    assert facts["apps"][0]["stop_reason"] == "keyboard_interrupt"


def test_client_that_died_is_noticed(write_client: Callable[[str], Path]) -> None:
    path = write_client("""
        @serialized()
        def nap():
            time.sleep(30)

        with app.run():
            nap.remote()
    """)
    with LoopbackModal(heartbeat_timeout=1.0, grace=0.3) as server:
        process = start(server, path, MODAL_HEARTBEAT_INTERVAL="0.3")
        server.wait_for(lambda facts: any(item["status"] == "running" for item in facts["inputs"]))
        process.kill()
        process.communicate()
        facts = server.wait_for(lambda facts: facts["containers"] and facts["containers"][0]["ended_at"])
    assert facts["apps"][0]["stop_reason"] == "heartbeat_lost"


# Output


def test_output_is_streamed_and_read_later(client: Client, server: LoopbackModal) -> None:
    report = client("""
        @serialized()
        def talk(x):
            print(f"said {x}")
            return x

        with modal.enable_output(), app.run():
            call = talk.spawn(1)
            talk.remote(2)
            call.get()
            out["call_log"] = attempt(lambda: [entry.message for entry in call.logs.tail(10)])
            out["entry"] = attempt(lambda: [entry.context_ids for entry in app.logs.tail(10)])
        out["app_id"] = app.app_id or call._app_id if hasattr(call, "_app_id") else app.app_id
    """)
    assert report["call_log"]["value"] == ["said 1\n"]
    assert [identifier[:2] for identifier in report["entry"]["value"][0]] == ["fu", "fc", "in", "ta"]
    assert "said 1" in report["stdout"] + report["stderr"]
    app_id = server.facts()["apps"][0]["id"]
    command = [sys.executable, "-m", "modal", "app", "logs", app_id]
    shown = subprocess.run(command, env=server.environ(), capture_output=True, text=True, timeout=30)
    assert "said 2" in shown.stdout, shown.stderr


# An unkind service


@pytest.mark.parametrize(("streams", "least", "most"), [(5, 5, 5), (100, 12, 100)])
def test_streams_are_limited_as_announced(
    client: Client, server: LoopbackModal, streams: int, least: int, most: int
) -> None:
    server.change(streams=streams)
    report = client("""
        import asyncio

        @serialized(max_containers=1)
        def double(x):
            time.sleep(0.05)
            return 2 * x

        async def together():
            async with app.run.aio():
                calls = [await double.spawn.aio(x) for x in range(12)]
                return await asyncio.gather(*(call.get.aio() for call in calls))

        out["values"] = attempt(lambda: asyncio.run(together()))
    """)
    assert report["values"]["value"] == [2 * x for x in range(12)]
    facts = server.facts()
    assert least <= facts["most_rpcs_at_once"] <= most
    assert facts["most_rpcs_at_once_by_name"]["FunctionGetOutputs"] <= facts["most_rpcs_at_once"]


ONE = """
    @serialized(max_containers=1)
    def one():
        return 1

    out["enter"] = attempt(lambda: bool(app.run().__enter__()))
    out["one"] = attempt(one.remote)
"""


def test_latency_is_added_to_each_request(client: Client, server: LoopbackModal) -> None:
    server.change(latency=0.3)
    report = client(ONE + "    out['warm'] = attempt(one.remote)")
    assert report["warm"]["value"] == 1
    assert report["warm"]["seconds"] > 0.6  # two requests: one to call, one for the output


def test_server_warnings_come_with_every_answer(client: Client, server: LoopbackModal) -> None:
    server.change(server_warnings=["5 % of the budget is left"])
    report = client("""
        import warnings

        @serialized()
        def one():
            return 1

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            app.run().__enter__()
        out["caught"] = sorted({f"{each.category.__name__}: {each.message}" for each in caught})
        warnings.simplefilter("error", modal.exception.ServerWarning)
        out["call"] = attempt(one.remote)  # of its answers, none has a field for warnings
        out["other"] = attempt(lambda: modal.App("other").run().__enter__())
    """)
    assert "ServerWarning: 5 % of the budget is left" in report["caught"]
    for name in ("call", "other"):
        assert (report[name]["error"], report[name]["message"]) == ("ServerWarning", "5 % of the budget is left")


@pytest.mark.parametrize(
    "how",
    [
        {"status": "INTERNAL"},
        {"status": "UNAVAILABLE", "done": True},
        {"status": "DEADLINE_EXCEEDED"},
        {"reset": True},
        {"reset": True, "done": True},
    ],
    ids=lambda how: f"{how.get('status', 'reset')}{', but done' * ('done' in how)}",
)
def test_a_failing_request_is_sent_again(client: Client, server: LoopbackModal, how: dict[str, Any]) -> None:
    for name in ("AppCreate", "FunctionMap", "FunctionGetOutputs"):
        server.fail("rpc", times=2, rpc=name, **how)
    report = client(ONE)
    assert report["one"]["value"] == 1
    facts = server.facts()
    assert [fault["used"] for fault in facts["faults"]] == [2, 2, 2]
    assert len(facts["inputs"]) == 1


@pytest.mark.parametrize(("seconds", "value", "error"), [(0.4, 1, None), (30.0, None, "InternalError")])
def test_a_burst_of_errors_is_over_after_its_time(
    client: Client, server: LoopbackModal, seconds: float, value: int | None, error: str | None
) -> None:
    server.fail("rpc", times=None, rpc="FunctionMap", status="INTERNAL", seconds=seconds)
    report = client(ONE)
    assert (report["one"].get("value"), report["one"].get("error")) == (value, error)


def test_errors_can_begin_with_a_request(client: Client, server: LoopbackModal) -> None:
    server.fail("rpc", times=2, once="AppPublish", status="UNAVAILABLE")
    report = client(ONE)
    assert (report["enter"]["value"], report["one"]["value"]) == (True, 1)
    assert report["enter"]["seconds"] + report["one"]["seconds"] > 0.3  # two were sent again, after .1 and .2 s
    assert server.facts()["faults"][0]["used"] == 2


def test_a_share_of_all_requests_fails(client: Client, server: LoopbackModal) -> None:
    server.fail("rpc", times=None, share=0.1, seed=3, status="UNAVAILABLE")
    report = client(ONE + "    out['many'] = attempt(lambda: [one.remote() for _ in range(30)])")
    assert report["many"]["value"] == [1] * 30
    facts = server.facts()
    asked = sum(facts["rpcs"].values())  # also by the container, whose requests don't fail
    assert 0 < facts["faults"][0]["used"] < asked / 4


def test_no_more_gpus_than_the_workspace_has(client: Client, server: LoopbackModal) -> None:
    server.change(gpu_limit=1, scaledown=0.2)
    report = client("""
        def work(x):
            time.sleep(1.5)
            return x

        for gpu in ("T4", "A100-80GB"):
            serialized(name=gpu, gpu=gpu)(work)
        with app.run():
            calls = [function.spawn(name) for name, function in app.registered_functions.items()]
            out["values"] = [call.get() for call in calls]
            out["log"] = [entry.message for entry in app.logs.tail(10) if entry.source == "system"]
    """)
    assert report["values"] == ["T4", "A100-80GB"]
    facts = server.facts()
    first, second = sorted(facts["containers"], key=lambda container: float(container["started_at"]))
    assert second["started_at"] >= first["ended_at"]
    name = second["function_name"]
    kind = name.replace("-", "_")
    (line,) = report["log"]
    assert line.startswith(
        f"Function `{name}` ({second['function']}) is waiting to be scheduled on a GPU_{kind} worker."
    )


MANY = """
    @serialized(max_containers=1)
    def double(x):
        return 2 * x

    with app.run():
        out["spawn"] = attempt(lambda: double.spawn(21).get(timeout=2))
        out["map"] = attempt(lambda: list(double.map(range(3))))
"""


@both_planes
@pytest.mark.parametrize("how", ["twice", "unknown"])
def test_outputs_that_are_too_many_change_nothing(client: Client, server: LoopbackModal, how: str) -> None:
    server.fail("output", times=None, how=how, function="double")
    report = client(MANY)
    assert report["spawn"]["value"] == 42
    assert report["map"]["value"] == [0, 2, 4]
    assert server.facts()["faults"][0]["used"] == 4


def test_an_output_that_is_lost_never_comes(client: Client, server: LoopbackModal) -> None:
    server.fail("output", how="lost", function="double")
    report = client(MANY)
    assert report["spawn"]["error"] == "TimeoutError"
    assert report["map"]["value"] == [0, 2, 4]
    assert [item["status"] for item in settled(server)["inputs"]] == ["silent", "success", "success", "success"]


def test_garbage_in_place_of_a_result(client: Client, server: LoopbackModal) -> None:
    server.fail("output", how="garbage")
    server.fail("output", how="garbage", unpickles=True)
    report = client("""
        @serialized(max_containers=1)
        def double(x):
            return 2 * x

        with app.run():
            out["first"] = attempt(double.remote, 1)
            out["second"] = attempt(lambda: repr(double.remote(2)))
            out["third"] = attempt(double.remote, 3)
    """)
    assert report["first"]["error"] == "DeserializationError"
    assert "garbage" in report["second"]["value"]
    assert report["third"]["value"] == 6


NAP = """
    @serialized()
    def nap(x):
        time.sleep(30)

    with app.run():
        calls = [nap.spawn(x) for x in range(6)]
        calls[5].cancel()
        out["cancelled"] = attempt(calls[5].get, timeout=3)
        out["running"] = attempt(calls[0].get, timeout=3)
        out["again"] = attempt(nap.remote, 1)
"""


def test_outputs_of_a_stopped_app_may_never_come(server: LoopbackModal, write_client: Callable[[str], Path]) -> None:
    server.change(stop_silent=True, container_limit=1)
    process = start(server, write_client(NAP))
    facts = server.wait_for(lambda facts: any(item["status"] == "silent" for item in facts["inputs"]))
    server.stop_app(facts["apps"][0]["id"])
    report = finish(process)
    assert [report[name]["error"] for name in ("cancelled", "running")] == ["TimeoutError"] * 2
    assert report["again"]["error"] == "ConflictError"
    assert {item["status"] for item in settled(server)["inputs"]} == {"silent"}


LOGS = """
    @serialized(max_containers=1)
    def talk(x):
        for number in range(20):
            print(f"said {number}", flush=True)

    def tail():
        return len([entry for entry in app.logs.tail(100) if entry.message.startswith("said")])

    def stream():
        return len([entry for entry in app.logs.stream(timeout=1.0) if entry.message.startswith("said")])

    with app.run():
        talk.remote(1)
        out["at once"] = tail()
        out["streamed"] = [stream(), stream()]
        out["later"] = tail()
"""


@pytest.mark.parametrize(
    ("settings", "least", "most"),
    [
        ({}, [20, 20, 20, 20], [20, 20, 20, 20]),  # a stream begins with the app, each time
        ({"log_delay": 0.6}, [0, 20, 20, 20], [0, 20, 20, 20]),
        ({"log_share": 0.5}, [1, 1, 1, 1], [19, 19, 19, 19]),
        ({"log_share": 1.0}, [0, 0, 0, 0], [0, 0, 0, 0]),
        ({"log_retention": 1.5}, [20, 20, 0, 0], [20, 20, 20, 0]),
    ],
    ids=["kind", "late", "half", "none", "forgotten"],
)
def test_logs(
    client: Client, server: LoopbackModal, settings: dict[str, float], least: list[int], most: list[int]
) -> None:
    server.change(**settings)
    report = client(LOGS)
    seen = [report["at once"], *report["streamed"], report["later"]]
    assert all(low <= count <= high for low, count, high in zip(least, seen, most, strict=True)), seen


def test_a_client_that_slept_finds_its_app_stopped(server: LoopbackModal, write_client: Callable[[str], Path]) -> None:
    server.change(heartbeat_timeout=1.0)
    path = write_client("""
        @serialized()
        def nap(x):
            time.sleep(30)

        with app.run():
            out["pending"] = attempt(nap.remote, 1)
            out["next"] = attempt(nap.remote, 2)
    """)
    process = start(server, path, MODAL_HEARTBEAT_INTERVAL="0.3")
    server.wait_for(lambda facts: any(item["status"] == "running" for item in facts["inputs"]))
    process.send_signal(signal.SIGSTOP)
    facts = server.wait_for(lambda facts: facts["apps"][0]["state"] == "stopped")
    process.send_signal(signal.SIGCONT)
    report = finish(process)
    assert facts["apps"][0]["stop_reason"] == "heartbeat_lost"
    assert (report["pending"]["error"], report["next"]["error"]) == ("RemoteError", "ConflictError")


# The server itself


def test_unknown_rpc_is_counted(write_client: Callable[[str], Path]) -> None:
    path = write_client("""
        out["queue"] = attempt(lambda: modal.Queue.from_name("q", create_if_missing=True).put(1))
    """)
    with LoopbackModal() as server:
        report = finish(start(server, path))
        assert report["queue"]["error"] == "UnimplementedError"
        assert server.facts()["unknown_rpcs"] == {"QueueGetOrCreate (client)": 1}


@pytest.mark.parametrize("how", ["stdin closes", "killed"])
def test_nothing_outlives_the_server(write_client: Callable[[str], Path], how: str) -> None:
    path = write_client("""
        @serialized()
        def nap():
            time.sleep(30)

        with app.run():
            nap.remote()
    """)
    with LoopbackModal() as server:
        process = start(server, path, MODAL_LOGLEVEL="ERROR")
        facts = server.wait_for(lambda facts: any(item["status"] == "running" for item in facts["inputs"]))
        pids = [container["pid"] for container in facts["containers"]]
        assert all(alive(pid) for pid in pids)
        if how == "killed":
            os.kill(server.pid, signal.SIGKILL)
        else:
            server.close()
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 5
        while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(alive(pid) for pid in pids)


def test_settings_are_changed_until_a_reset(server: LoopbackModal) -> None:
    server.change(latency=0.1, input_plane=True)
    assert server.facts()["input_plane"] is True
    server.reset()
    assert server.facts()["input_plane"] is False
    for wrong in ({"hide": []}, {"nonsense": 1}):
        with pytest.raises(LoopbackError, match="no settings of a running server"):
            server.change(**wrong)
    with pytest.raises(LoopbackError, match="an output can be lost"):
        server.fail("output", how="late")


def test_reset_forgets(client: Client, server: LoopbackModal) -> None:
    client("""
        @serialized()
        def one():
            return 1

        with app.run():
            one.remote()
    """)
    server.add_volume("models")
    server.reset()
    facts = server.facts()
    assert [facts[name] for name in ("apps", "functions", "images", "containers", "inputs", "volumes")] == [[]] * 6
    assert facts["rpcs"] == {}
