"""The project's own code: below the rootdir, by whatever path, less what is installed or Python's."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_modal.batch.calls import ShippedFunction
from pytest_modal.code.places import is_local
from pytest_modal.code.shipping import Shipper
from pytest_modal.remote import installed

STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("helpers.py", True),
        ("src/package/module.py", True),
        ("lib/helpers.py", True),
        (".venv/lib/python3.11/site-packages/torch/nn.py", False),
        ("env/lib/python3/dist-packages/yaml.py", False),
        (".pixi/envs/default/lib/python3.12/site-packages/torch/nn.py", False),
        ("env/Lib/site-packages/torch/nn.py", False),
        (".tox/py312/lib/python3.12/site-packages/torch/nn.py", False),
        ("../beside.py", False),
    ],
)
def test_what_lies_below_the_rootdir_is_local_unless_it_is_installed(tmp_path: Path, path: str, own: bool) -> None:
    assert is_local(tmp_path / "project" / path, tmp_path / "project") is own


def test_a_project_that_is_entered_through_a_link_is_the_same_project(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert is_local(tmp_path / "link/helpers.py", tmp_path / "real")
    assert is_local(tmp_path / "real/helpers.py", tmp_path / "link")


def test_a_directory_that_is_linked_into_a_project_is_not_below_it(tmp_path: Path) -> None:
    for name in ("project", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "project/linked").symlink_to(tmp_path / "data")
    assert not is_local(tmp_path / "project/linked/helpers.py", tmp_path / "project")


@pytest.mark.parametrize("module", [json, os, argparse])
def test_the_standard_library_is_never_local(module: object) -> None:
    file = str(vars(module)["__file__"])
    for rootdir in (Path("/"), STANDARD_LIBRARY.parent, STANDARD_LIBRARY):
        assert not is_local(file, rootdir)
    # What stands beside the interpreter's environment in a home directory that is the rootdir is.
    assert is_local(STANDARD_LIBRARY.parent.parent / "my_project/helpers.py", Path("/"))


def test_an_installed_package_is_never_local() -> None:
    for rootdir in (Path("/"), Path(sys.prefix), Path(str(pytest.__file__)).parent):
        assert not is_local(str(pytest.__file__), rootdir)


@pytest.mark.parametrize("library", [".pixi/envs/default/lib/python3.12", "env/lib/python3.11", "env/Lib"])
def test_the_library_of_an_interpreter_in_the_project_is_not_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setattr(installed, "_STANDARD_LIBRARY", [os.path.realpath(tmp_path / library)])
    for file in ("json/decoder.py", "argparse.py", "site-packages/torch/nn.py"):
        assert not is_local(tmp_path / library / file, tmp_path)
    assert is_local(tmp_path / "json/decoder.py", tmp_path)


def test_code_beside_the_rootdir_is_local_if_the_project_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, beside = tmp_path / "project", tmp_path / "src/beside.py"
    assert not is_local(beside, project)
    monkeypatch.syspath_prepend(project / "../src")
    assert is_local(beside, project)
    assert is_local(tmp_path / "src/package/inner.py", project)
    assert not is_local(tmp_path / "src/env/lib/python3.11/site-packages/torch/nn.py", project)
    assert not is_local(tmp_path / "other.py", project)


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (None, True),
        ({"dir_info": {"editable": True}}, False),
        ({"vcs_info": {"vcs": "git", "commit_id": "1"}}, True),
    ],
    ids=["not installed", "editable", "from git"],
)
def test_code_beside_the_rootdir_is_a_package_if_it_is_installed_from_there(
    tmp_path: Path, origin: dict[str, object] | None, own: bool
) -> None:
    information = tmp_path / "site/beside-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: beside\nVersion: 1.0\n")
    if origin is not None:
        (information / "direct_url.json").write_text(json.dumps({"url": (tmp_path / "beside").as_uri(), **origin}))
    files = [tmp_path / "beside/src/beside.py", tmp_path / "project/test_it.py"]
    code = (
        f"from pytest_modal.code.places import is_local\n"
        f"print([is_local(each, {str(tmp_path / 'project')!r}) for each in {[*map(str, files)]}])"
    )
    path = os.pathsep.join([*map(str, (tmp_path / "site", tmp_path / "beside/src")), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True)
    assert done.stdout.decode().strip() == str([own, True]), done.stderr.decode()


class Project:
    """A project on disk, whose directories are on ``sys.path`` as long as a test runs."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._monkeypatch = root, monkeypatch

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(textwrap.dedent(text).lstrip("\n"))

    def ship(self, module: str, *path: str, rootdir: str = "") -> ShippedFunction:
        """Ship the function ``f`` of a module."""
        for each in path or [""]:
            self._monkeypatch.syspath_prepend(str(self.root / each))
        importlib.invalidate_caches()
        return Shipper(self.root / rootdir).ship(importlib.import_module(module).f, "f", ())

    def _has(self, scope: Mapping[str, Any]) -> bool:
        is_space = scope.get("__file__") is None and type(scope.get("__path__")).__name__ == "_NamespacePath"
        places = [str(scope.get("__file__")), *(map(str, scope["__path__"]) if is_space else ())]
        return any(place.startswith(str(self.root)) for place in places)

    def forget(self) -> None:
        own = [name for name, module in sys.modules.items() if self._has(vars(module))]
        for name in own:  # the path of a namespace package can be read only as long as its parent is imported
            del sys.modules[name]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project = Project(tmp_path, monkeypatch)
    yield project
    project.forget()


def test_modules_of_a_namespace_package_are_followed(project: Project) -> None:
    project.write(
        {
            "space/deep/numbers.py": "SEVEN = 7\ndef unused(): pass\n",
            "space/maths.py": "from .deep.numbers import SEVEN\ndef scaled(x): return SEVEN * x\n",
            "uses_space.py": """
                import space.maths
                from space import maths
                from space.deep import numbers
                def f(): return space.maths.scaled(1), maths.scaled(2), numbers.SEVEN
                """,
        }
    )
    shipped = project.ship("uses_space")
    assert list(shipped.parts) == [
        "constant space.deep.numbers.SEVEN",
        "function f",
        "helper space.maths.scaled",
        "import space.maths.SEVEN",
        "import uses_space.maths",
        "import uses_space.numbers",
        "import uses_space.space",
    ]
    assert shipped.imports == ()


def test_a_namespace_package_that_is_partly_installed_is_followed_where_it_is_local(project: Project) -> None:
    project.write(
        {
            "env/site-packages/shared_space/installed.py": "ONE = 1\n",
            "project/shared_space/own.py": "TWO = 2\n",
            "project/uses_shared.py": """
                from shared_space.installed import ONE
                from shared_space.own import TWO
                def f(): return ONE + TWO
                """,
        }
    )
    shipped = project.ship("uses_shared", "env/site-packages", "project", rootdir="project")
    assert [part for part in shipped.parts if part.startswith("constant")] == ["constant shared_space.own.TWO"]
    assert shipped.imports == ("shared_space.installed.ONE",)


def test_code_beside_the_rootdir_is_followed_and_has_the_same_key_everywhere(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "src/beside.py": "LIMIT = 3\ndef limited(x): return min(x, LIMIT)\n",
        "project/uses_beside.py": "from beside import limited\ndef f(): return limited(5)\n",
    }
    shipped = []
    for place in ("here", "there/deeper"):
        other = Project(tmp_path / place, monkeypatch)
        other.write(files)
        with monkeypatch.context():
            shipped.append(other.ship("uses_beside", "src", "project", rootdir="project"))
        other.forget()
    assert "helper beside.limited" in shipped[0].parts
    assert shipped[0].key == shipped[1].key
    assert shipped[0].payload == shipped[1].payload


def test_a_project_behind_a_link_has_the_same_parts(project: Project) -> None:
    project.write({"real/linked.py": "LIMIT = 3\ndef f(): return LIMIT\n"})
    (project.root / "link").symlink_to("real")
    shipped = []
    for path, rootdir in (("real", "real"), ("link", "real"), ("real", "link"), ("link", "link")):
        project.forget()
        shipped.append(project.ship("linked", path, rootdir=rootdir))
    assert all(each.parts == shipped[0].parts for each in shipped)
    assert len({each.payload for each in shipped}) == 1


CONFTEST = """
    import functools
    import pytest_modal

    FACTOR = {factor}
    by_factor = functools.partial(lambda x, y: x * y, FACTOR)

    class Scaled:
        def __init__(self, x): self.x = FACTOR * x

    def scale(x): return FACTOR * x

    @pytest_modal.fixture(scope="container")
    def model(): return scale

    @pytest_modal.fixture
    def answers(model): return [model(10), scale(10), by_factor(10), Scaled(10).x, __name__]
    """
TEST = """
    def test_{name}(answers):
        *numbers, name = answers
        assert numbers == [{expected}] * 4, answers
    """


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_two_conftests_have_their_own_helpers_and_constants(pytester: pytest.Pytester, mode: str) -> None:
    for name, factor in (("one", 2), ("two", 3), ("two/deeper", 4)):
        place = pytester.path / name
        place.mkdir()
        (place / "conftest.py").write_text(textwrap.dedent(CONFTEST.format(factor=factor)))
        own = name.replace("/", "_")
        test = TEST.format(name=own, expected=10 * factor)
        (place / f"test_{own}.py").write_text(textwrap.dedent(test))
    pytester.runpytest_subprocess(f"--import-mode={mode}").assert_outcomes(passed=3)


def test_two_test_files_of_one_name_have_their_own_helpers_and_constants(pytester: pytest.Pytester) -> None:
    for name, factor in (("one", 2), ("two", 3)):
        place = pytester.path / name
        place.mkdir()
        text = textwrap.dedent(CONFTEST.format(factor=factor)) + textwrap.dedent(
            TEST.format(name="it", expected=10 * factor)
        )
        (place / "test_it.py").write_text(text)
    pytester.runpytest("--import-mode=importlib").assert_outcomes(passed=2)


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_code_beside_the_rootdir_travels(pytester: pytest.Pytester, mode: str) -> None:
    pytester.mkdir("src").joinpath("helpers_beside.py").write_text("LIMIT = 3\ndef limited(x): return min(x, LIMIT)\n")
    project = pytester.mkdir("project")
    (project / "pytest.ini").write_text("[pytest]\npythonpath = ../src\n")
    (project / "test_it.py").write_text(
        textwrap.dedent(
            """
            import pytest_modal
            from helpers_beside import limited

            @pytest_modal.fixture
            def answers(): return limited(5)

            def test_it(answers): assert answers == 3
            """
        )
    )
    # Nothing but what travels is there: the local worker starts in an empty directory.
    pytester.runpytest_subprocess(f"--rootdir={project}", f"--import-mode={mode}", project).assert_outcomes(passed=1)
