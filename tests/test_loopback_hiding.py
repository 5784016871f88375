"""What containers of the loopback server see of this machine: not the project, wherever it is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loopback_modal import LoopbackModal, hiding
from loopback_modal.hiding import Hiding

CONTRACT = Path(__file__).parent / "loopback_modal" / "contract"
LOOK = """
from scenario import *

models = modal.Volume.from_name("models", create_if_missing=True)

@serialized(image=image.uv_pip_install("numpy"), volumes={"/root/models": models}, env={"FOUND": "/root/models/found"})
def look(paths):
    import numpy

    with open(os.environ["FOUND"], "w") as file:
        file.write(numpy.__version__)
    beside = os.path.join(*[os.pardir] * 3)
    return {path: os.path.exists(path) for path in paths} | {"containers": len(os.listdir(beside))}

with app.run():
    out["sees"] = attempt(look.remote, sys.argv[1:])
"""


def sees(server: LoopbackModal, directory: Path, *paths: Path) -> dict[str, Any]:
    """Return which paths a container finds, by path, and how many containers it finds beside itself."""
    client = directory / "client.py"
    client.write_text(LOOK)
    command = [sys.executable, client, *map(str, paths)]
    done = subprocess.run(
        command, env=server.environ(PYTHONPATH=str(CONTRACT)), capture_output=True, text=True, timeout=60
    )
    report = json.loads(done.stdout.splitlines()[-1])["sees"]
    assert "value" in report, (report, done.stderr)
    found: dict[str, Any] = report["value"]
    return found


def test_a_container_finds_nothing_of_the_project(hiding_server: LoopbackModal, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.touch()
    of_project = [secret, tmp_path, Path(__file__), Path(__file__).parents[1] / "pyproject.toml"]
    found = sees(
        hiding_server, tmp_path, *of_project, Path.home() / ".cache", hiding_server.shared, Path("/etc/passwd")
    )
    assert [path for path, there in found.items() if there is True] == [str(hiding_server.shared), "/etc/passwd"]
    assert found["containers"] == 1, "a container finds no other"
    (volume,) = hiding_server.facts()["volumes"]
    assert (Path(volume["directory"]) / "found").exists(), "what it writes into a volume stays"


def test_hiding_can_be_declined(tmp_path: Path) -> None:
    with LoopbackModal(hide=[]) as server:
        found = sees(server, tmp_path, tmp_path, Path(__file__))
        facts = server.facts()
    assert found[str(tmp_path)] is found[str(Path(__file__))] is True
    assert (facts["hides_project"], facts["hidden"]) == (False, [])
    assert facts["not_hidden_because"] == "nothing was to be hidden"


def test_a_file_of_the_project_is_missing_on_modal(pytester: pytest.Pytester, hiding_server: LoopbackModal) -> None:
    (pytester.path / "prompts.txt").write_text("hello")
    pytester.makepyfile(
        test_it=f"""
        import pytest

        def read(path):
            with open("/".join(path)) as file:
                return file.read()

        @pytest.mark.modal_gpu(function=read, args={{"path": {[*str(pytester.path / "prompts.txt").split("/")]}}})
        def test_read(modal_result): assert modal_result == "hello"
        """
    )
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*FileNotFoundError*prompts.txt*"])


def listed(hidden: Hiding, own: list[Path], *paths: Path) -> list[list[str]]:
    """Return what a process finds in directories."""

    def found(path: Path) -> list[str]:
        command = ["/bin/ls", "-A", path]
        done = subprocess.run(
            command, preexec_fn=lambda: hidden.enter(own), cwd="/", stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout.split()

    return [found(path) for path in paths]


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], Path]:
    """Directories, made when they are first named, with a file in each."""

    def make(path: str) -> Path:
        directory = tmp_path / path
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "file").touch()
        return directory

    return make


def test_what_is_needed_stays_and_what_is_hidden_in_it_does_not(tree: Callable[[str], Path]) -> None:
    project, needed, private, own = map(tree, ("a", "a/b/needed", "a/b/needed/private", "a/own"))
    hidden = Hiding([str(project), str(private), str(project / "missing"), "/"], [needed], Path(sys.executable))
    if hidden.refused:
        pytest.skip(hidden.refused)
    assert hidden.directories == [project.resolve(), private.resolve()]
    assert listed(hidden, [own], project, needed, private, own) == [["b", "own"], ["file", "private"], [], ["file"]]
    assert sorted(path.name for path in project.iterdir()) == ["b", "file", "own"], "nobody else notices"


def test_links_are_hidden_where_they_lead(tree: Callable[[str], Path], tmp_path: Path) -> None:
    project = tree("project")
    (tmp_path / "link").symlink_to(project)
    hidden = Hiding([str(tmp_path / "link")], [], Path(sys.executable))
    if hidden.refused:
        pytest.skip(hidden.refused)
    assert listed(hidden, [], project, tmp_path) == [[], ["link", "project"]]


def test_nothing_is_hidden_where_that_is_not_permitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(1, "unshare: Operation not permitted")

    monkeypatch.setattr(hiding, "_unshare", refuse)
    hidden = Hiding([str(tmp_path)], [], Path(sys.executable))
    assert hidden.directories == []
    assert "Operation not permitted" in hidden.refused
    hidden.enter([])  # does nothing


def test_nothing_is_hidden_where_python_would_be(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    hidden = Hiding([str(tmp_path)], [], python)
    assert hidden.directories == []
    assert hidden.refused


def test_files_of_an_image_are_found_by_their_paths(
    pytester: pytest.Pytester, hiding_server: LoopbackModal, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "/root" not in hiding_server.facts()["hidden"]:
        pytest.skip("the server does not run as root: /root is not there to be shown")
    for name, value in hiding_server.env.items():
        monkeypatch.setenv(name, value)
    (pytester.path / "table.json").write_text("[1, 2]")
    pytester.makepyfile(
        """
        import sys, modal, pytest

        IMAGE = modal.Image.debian_slim(python_version="%d.%d" % sys.version_info[:2])

        def read():
            with open("/root/table.json") as file:
                return file.read()

        @pytest.mark.modal_gpu(function=read, image=IMAGE.add_local_file("table.json", "/root/table.json"))
        def test_it(modal_result): assert modal_result == "[1, 2]"
        """
    )
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=1)
