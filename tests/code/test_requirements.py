"""From what a function imports to what its image installs."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faked_installs import install

from pytest_modal.batch.calls import Batch, Call, Node
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.requirements import Requirements
from pytest_modal.code.requirements import derive, refusal, requirements_of
from pytest_modal.code.shipping import Shipper

Project = Callable[..., Node]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Project:
    """Write the files of a project, import one and ship its `body`."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.syspath_prepend(root)

    def ship(source: str, environment: Environment | None = None, **files: str) -> Node:
        for name, text in {"suite": source, **files}.items():
            (root / f"{name}.py").write_text(text)
            monkeypatch.delitem(sys.modules, name, raising=False)
        module = __import__("suite")
        request.addfinalizer(lambda: [sys.modules.pop(name, None) for name in ("suite", *files)])
        environment = environment or Environment()
        shipped = Shipper(root).ship(module.body, "body", environment.local_packages)
        return Node("key", "body", shipped, {}, environment)

    return ship


def packages(node: Node) -> Requirements:
    """Return what the image of a function installs."""
    return requirements_of(Batch([Call(**node.fields())]), node.environment)


def version(name: str) -> str:
    return importlib.metadata.version(name).partition("+")[0]


def test_names_of_distributions_and_local_versions() -> None:
    found = derive(["PIL.Image", "numpy.linalg", "safetensors", "os.path", "json"])
    expected = [f"{name}=={version(name)}" for name in ("numpy", "pillow", "safetensors")]
    assert found.packages == tuple(expected)
    assert found.notes == ()


def test_a_local_label_has_no_place_in_a_pin(site: Path) -> None:
    install(site, "fastlib", "2.1.0+cpu", "fastlib/__init__.py")
    assert derive(["fastlib"]).packages == ("fastlib==2.1.0",)


def test_well_known_names_that_are_not_installed_here_are_unpinned_and_said() -> None:
    found = derive(["sklearn.metrics", "google.nothing.of.that.name"])
    assert found.packages == ("scikit-learn",)
    assert found.notes == ("scikit-learn is not installed on this machine, so its version is not pinned",)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("acme.one.deep", "acme-one==1.0"),
        ("acme.two", "acme-two==2.0"),
        ("acme.three", "acme-three==3.0"),
        ("acme", "acme-one==1.0"),
        ("shared.thing", "shared-a==1.0"),
        ("shared.own", "shared-b==1.0"),
        ("compiled.fast", "compiled==1.0"),
        ("without_list.x", "without-list==1.0"),
        ("Renamed_Thing", "renamed-thing==1.0"),
    ],
)
def test_a_module_belongs_to_the_distribution_that_has_it(site: Path, module: str, expected: str) -> None:
    install(site, "acme-one", "1.0", "acme/one/__init__.py")
    install(site, "acme-two", "2.0", "acme/two.py")
    install(site, "acme-three", "3.0", "acme/three.cpython-311-x86_64-linux-gnu.so", top_level=["acme"])
    install(site, "shared-a", "1.0", "shared/__init__.py")
    install(site, "shared-b", "1.0", "shared/__init__.py", "shared/own.py")
    install(site, "compiled", "1.0", "compiled/__init__.py", "compiled/fast.so")
    install(site, "without-list", "1.0")
    (site / "without_list-1.0.dist-info" / "RECORD").unlink()
    install(site, "renamed-thing", "1.0", "Renamed_Thing/__init__.py")
    assert derive([module]).packages == (expected,)


@pytest.mark.parametrize("module", ["acme.missing", "google.cloud.storage", "nothing_of_that_name"])
def test_what_no_distribution_has_is_not_asked_for(site: Path, module: str) -> None:
    install(site, "acme-one", "1.0", "acme/one/__init__.py")
    assert derive([module]) == Requirements()


# Each defines `body`, which runs here: what it names is no distribution.
NO_PACKAGES = {
    "a named tuple": "from typing import NamedTuple\nclass Point(NamedTuple):\n    x: int\ndef body(): return Point(1)",
    "a made named tuple": "from collections import namedtuple\nPair = namedtuple('Pair', 'a')\n"
    "def body(): return Pair(1)",
    "an enum": "from enum import Enum\nKind = Enum('Kind', 'A B')\ndef body(): return Kind.A.value",
    "a dataclass": "from dataclasses import make_dataclass\nCase = make_dataclass('Case', ['x'])\n"
    "def body(): return Case(1)",
    "executed code": "exec('def made(): return 1')\ndef body(): return made()",
    "executed code of another name": "space = {'__name__': 'nowhere'}\nexec('def made(): return 1', space)\n"
    "made = space['made']\ndef body(): return made()",
    "a local module": "import helper_of_mine\ndef body(): return helper_of_mine.f()",
    "a local module in the body": "def body():\n    import helper_of_mine\n    return helper_of_mine.f()",
    "a second conftest": "import conftest_of_mine as conftest\ndef body(): return conftest.f()",
    "a type checker's import": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nowhere_at_all\n"
    "def body(x: 'nowhere_at_all.T' = 1): return x",
    "the standard library": "import json, sys\ndef body():\n    import tomllib\n    return json.dumps(sys.argv)",
    "the plugin and Modal": "import modal, cloudpickle\ndef body(): return modal.__version__, cloudpickle.__version__",
}


@pytest.mark.parametrize("source", NO_PACKAGES.values(), ids=NO_PACKAGES)
def test_no_name_of_code_becomes_a_package(project: Project, source: str) -> None:
    node = project(source, helper_of_mine="def f(): return 1", conftest_of_mine="def f(): return 2")
    assert refusal(node) is None
    assert packages(node) == Requirements()


@pytest.mark.parametrize("name", ["made_up_here", "vllm"])
@pytest.mark.parametrize(
    "source", ["import {0}\ndef body(): return {0}.f()", "def body():\n    import {0}\n    return 1"]
)
def test_a_module_that_was_made_at_run_time_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, source: str, name: str
) -> None:
    made = types.ModuleType(name)
    made.f = lambda: 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, made)
    node = project(source.format(name))
    assert packages(node).packages == ()
    line = 1 if source.startswith("import") else 2
    assert refusal(node) == (
        f"body imports '{name}', which was made at run time on this machine: no import finds it in a container\n"
        f"  where: suite.py:{line}\n"
        f"  what to do: make '{name}' in the function's body, or import a module that has a file"
    )


def test_a_module_that_is_nowhere_is_refused(project: Project) -> None:
    node = project("def body():\n    from nowhere_at_all.sub import f\n    return f()")
    assert packages(node) == Requirements()
    assert refusal(node) == (
        "body imports 'nowhere_at_all', which is not installed on this machine, and which distribution has it "
        "is not known\n"
        "  where: suite.py:2\n"
        "  what to do: install it on this machine, or name its distribution: packages=[...]; your own code travels if "
        "it can be imported here"
    )


def test_a_file_beside_the_installed_packages_is_refused(project: Project, site: Path) -> None:
    (site / "put_by_hand.py").write_text("def f(): return 1")
    node = project("import put_by_hand\ndef body(): return put_by_hand.f()")
    assert packages(node) == Requirements()
    assert refusal(node) == (
        "body imports 'put_by_hand', which is of no installed distribution, so an image can't install it: it is "
        f"{site / 'put_by_hand.py'}\n"
        "  where: suite.py:1\n"
        '  what to do: ship it as it is: local_packages=["put_by_hand"]; or name the distribution that has it: '
        "packages=[...]"
    )


@pytest.mark.parametrize(
    "declared", [{"packages": ("thing",)}, {"image": object()}, {"local_packages": ("put_by_hand",)}]
)
def test_what_is_declared_is_not_refused(project: Project, site: Path, declared: dict[str, Any]) -> None:
    (site / "put_by_hand.py").write_text("")
    node = project("def body():\n    import put_by_hand\n    return 1", Environment(**declared))
    assert refusal(node) is None


@pytest.mark.parametrize(
    "guarded",
    [
        "try:\n    import {0}\nexcept ImportError:\n    {0} = None\n",
        "try:\n    import {0}.fast\nexcept ImportError:\n    pass\n",
        "import contextlib\nwith contextlib.suppress(ImportError):\n    import {0}\n",
        "from importlib.util import find_spec\nif find_spec('{0}'):\n    import {0}\n",
        "import sys\nif sys.platform == 'linux':\n    import {0}\n",
    ],
)
@pytest.mark.parametrize("is_installed", [True, False])
def test_guarded_imports_are_required_where_they_are_installed(
    project: Project, site: Path, guarded: str, is_installed: bool
) -> None:
    name = "speedups"
    if is_installed:
        install(site, name, "1.0", "speedups/__init__.py", "speedups/fast.py")
    elif "platform" in guarded:
        guarded = guarded.replace("linux", "nothing")
    node = project(f"{guarded.format(name)}\ndef body(): return {name} is not None")
    assert refusal(node) is None
    line = next(number for number, text in enumerate(guarded.splitlines(), 1) if "import {0}" in text)
    if is_installed:
        assert packages(node) == Requirements(("speedups==1.0",))
    else:
        note = f"left out, because not installed on this machine and not needed: speedups (suite.py:{line})"
        assert packages(node) == Requirements((), (note,))


def test_a_guarded_stub_is_left_out(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "made_up_here", types.ModuleType("made_up_here"))
    node = project("try:\n    import made_up_here\nexcept ImportError:\n    pass\ndef body(): return made_up_here")
    assert refusal(node) is None
    assert packages(node).packages == ()


def test_what_a_function_reaches_counts_and_its_annotations_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reached_helper.py").write_text("import safetensors.numpy as st\ndef pack(x): return st.save(x)\n")
    (tmp_path / "reached_test.py").write_text(
        "import numpy as np\nimport pandas as pd\nfrom reached_helper import pack\n"
        "SCALE = np.float32(2)\n"
        "def body(frame: pd.DataFrame) -> pd.DataFrame:\n    import json\n    return pack(frame), SCALE\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import reached_test  # type: ignore[import-not-found]

    shipped = Shipper(tmp_path).ship(reached_test.body, "body", ())
    # The value of SCALE travels, which numpy has to read.
    assert packages(Node("key", "body", shipped, {}, Environment())).packages == (
        f"numpy=={version('numpy')}",
        f"safetensors=={version('safetensors')}",
    )
