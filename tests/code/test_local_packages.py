"""Local packages travel as they are: source, compiled modules and data; caches and hidden files stay here."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import py_compile
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from faked_installs import install

from pytest_modal.batch.calls import Batch, Call
from pytest_modal.batch.environment import Environment
from pytest_modal.code.keys import changed
from pytest_modal.code.left_behind import left_behind
from pytest_modal.code.local_packages import all_files, files_of, imports_of
from pytest_modal.code.metadata import Dependency, dependencies_of, metadata_of, owners_of
from pytest_modal.code.package_names import wrong_package
from pytest_modal.code.requirements import refusal, requirements_of
from pytest_modal.code.shipping import Shipper


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the search path, with a package in it."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.syspath_prepend(root)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    for name in ("__init__.py", "data/table.bin", ".key", ".git/index", "__pycache__/x.pyc", "data/.hidden/x"):
        write(root / "resources" / name, "")
    (root / "resources/data/table.bin").write_bytes(b"\x00\xff")
    importlib.invalidate_caches()
    return root


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def declare(site: Path, name: str, *requirements: str, root: Path | None = None, modules: tuple[str, ...] = ()) -> Path:
    """Install a distribution that requires others; below `root` it is developed."""
    origin = {"url": root.as_uri(), "dir_info": {"editable": True}} if root is not None else None
    install(site, name, "1.0", *modules, direct_url=origin, requires=requirements, extras=["all"])
    (info,) = site.glob(f"{name.replace('-', '_')}-*.dist-info")
    return info


def parts(project: Path, *packages: str) -> dict[str, str]:
    return dict(Shipper(project).ship(len, "length", packages).parts)


# Which files travel.


def test_all_files_but_caches_and_hidden_ones_travel(project: Path) -> None:
    files = files_of("resources")
    assert list(files) == ["resources/__init__.py", "resources/data/table.bin"]
    assert files["resources/data/table.bin"].read_bytes() == b"\x00\xff"
    assert files_of("resources.missing") == {}
    assert files_of("no_such_package.at_all") == {}


def test_a_namespace_travels_with_all_its_directories_and_the_first_one_wins(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "second")])
    for place in (
        project / "space/one.py",
        tmp_path / "second/space/one.py",
        tmp_path / "second/space/two/__init__.py",
    ):
        write(place)
    assert files_of("space") == {
        "space/one.py": project / "space/one.py",
        "space/two/__init__.py": tmp_path / "second/space/two/__init__.py",
    }
    assert list(files_of("space.two")) == ["space/two/__init__.py"]


def test_a_dotted_name_is_that_module_and_what_is_below_it(project: Path) -> None:
    for name in ("part/__init__.py", "part/deep/data.txt", "part/fast.py", "other.py"):
        write(project / "whole" / name)
    write(project / "whole/__init__.py", "raise RuntimeError('nobody has to import it to look for its parts')\n")
    assert list(files_of("whole.part")) == ["whole/part/__init__.py", "whole/part/deep/data.txt", "whole/part/fast.py"]
    assert list(files_of("whole.part.fast")) == ["whole/part/fast.py"]
    assert list(all_files(["whole.part", "whole.other", "whole.part.fast"])) == [
        "whole/other.py",
        "whole/part/__init__.py",
        "whole/part/deep/data.txt",
        "whole/part/fast.py",
    ]


def test_links_are_followed_but_not_in_circles(project: Path, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/weights.bin", "1")
    (project / "resources/linked").symlink_to(tmp_path / "elsewhere")
    (project / "resources/again").symlink_to(project / "resources")
    assert list(files_of("resources")) == [
        "resources/__init__.py",
        "resources/data/table.bin",
        "resources/linked/weights.bin",
    ]


def test_a_compiled_module_and_a_package_with_data_work_in_local_mode(pytester: pytest.Pytester) -> None:
    (pytester.path / "fast.source").write_text("def triple(x): return 3 * x\n")
    py_compile.compile(str(pytester.path / "fast.source"), str(pytester.path / "fast.pyc"), doraise=True)
    kit = pytester.mkpydir("kit")
    (kit / "numbers.txt").write_text("1 2 3")
    (kit / "reading.py").write_text(
        "from pathlib import Path\n\n"
        "def numbers(): return Path(__file__).with_name('numbers.txt').read_text().split()\n"
    )
    pytester.makepyfile(
        """
        import fast
        import pytest
        from kit.reading import numbers

        def answer(): return [fast.triple(int(each)) for each in numbers()]

        @pytest.mark.modal_gpu(function=answer, local_packages=["fast", "kit"])
        def test_it(modal_result): assert modal_result == [3, 6, 9]
        """
    )
    pytester.syspathinsert()
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=1)


# What counts.


def test_their_content_counts(project: Path) -> None:
    before = parts(project, "resources")
    (project / "resources/.key").write_text("changed")
    assert parts(project, "resources") == before
    (project / "resources/data/table.bin").write_bytes(b"\x00\xfe")
    assert changed(before, parts(project, "resources")) == ["local package resources/data/table.bin changed"]


def test_in_which_order_they_are_named_does_not_count(project: Path) -> None:
    write(project / "single.py", "ONE = 1\n")
    assert parts(project, "single", "resources") == parts(project, "resources", "single", "resources.data")


def test_templates_count_byte_by_byte(project: Path) -> None:
    template = project / "resources/template.py"
    write(template, "def {{ name }}(): pass\n")
    before = parts(project, "resources")
    write(template, "def {{ name }}():  pass\n")
    assert changed(before, parts(project, "resources")) == ["local package resources/template.py changed"]


@pytest.mark.parametrize(
    ("version", "points", "counts"),
    [
        ("1.0", "", False),
        ("1.0.dev4+g0123abc.d20260101", "", False),
        ("1.1", "", True),
        ("1.0rc1", "", True),
        ("1.0", "[kit]\nsolver = resources:solve\n", True),
    ],
)
def test_the_release_and_the_entry_points_count(
    project: Path, site: Path, monkeypatch: pytest.MonkeyPatch, version: str, points: str, counts: bool
) -> None:
    def with_version(number: str, text: str) -> dict[str, str]:
        place = site / number
        install(place, "kit", number, "resources/__init__.py")
        write(place / f"kit-{number}.dist-info/entry_points.txt", text)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", [str(place), *sys.path])
            return parts(project, "resources")

    before = with_version("1.0.dev3+gabc", "")
    expected = ["version and entry points of kit changed"] if counts else []
    assert changed(before, with_version(version, points)) == expected


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read_is_named(project: Path) -> None:
    (project / "resources/data/table.bin").chmod(0)
    with pytest.raises(Exception, match="a file of a local package can't be read: PermissionError"):
        parts(project, "resources")


# What they require.


def test_what_they_import_is_required_where_it_is_installed_or_well_known(project: Path) -> None:
    (project / "resources/__init__.py").write_text(
        "import json\nimport numpy as np\nimport vllm\nfrom . import inner\nimport resources.inner\n"
        "try:\n    import deepspeed\nexcept ImportError:\n    pass\n"
    )
    (project / "resources/inner.py").write_text(
        "import pytest\nimport nobody_has_this\n\ndef f():\n    import pandas.api.types\n    import sglang\n"
    )
    shipped = Shipper(project).ship(len, "length", ("resources",))
    assert shipped.imports == ("numpy", "pandas.api.types", "vllm")


def test_other_parts_of_a_namespace_are_required_and_those_of_the_own_distribution_are_not(
    project: Path, site: Path
) -> None:
    declare(site, "acme-one", modules=("acme/one/__init__.py", "acme/shared.py"))
    declare(site, "acme-two", modules=("acme/two/__init__.py",))
    write(site / "acme/one/__init__.py", "import acme.one.inner, acme.shared\nfrom acme import two\n")
    assert imports_of(["acme.one"]) == {"acme.two": "acme/one/__init__.py:2"}


def test_what_the_distribution_declares_is_required_too(project: Path, site: Path) -> None:
    for name in ("plugin", "backend", "windows-only", "solver"):
        install(site, name, "2.0", f"{name.replace('-', '_')}/__init__.py")
    declare(
        site,
        "kit",
        "plugin[fast]>=1; python_version >= '3'",
        "backend; extra == 'all'",
        "windows-only; sys_platform == 'win32'",
        "solver; platform_system == 'Linux'",
        "scikit-learn>=1.2",
        "name-that-nobody-knows",
        "pytest; python_version >= '3'",
        root=project,
    )
    found = dependencies_of(["resources"])
    assert found["plugin"] == Dependency("plugin", ("fast",), ">=1", "kit")
    assert list(found) == ["name-that-nobody-knows", "plugin", "scikit-learn", "solver"]
    shipped = Shipper(project).ship(len, "length", ("resources",))
    call = Call("key", "length", shipped, {}, Environment(local_packages=("resources",)))
    assert refusal(call) is None
    required = requirements_of(Batch([call]), call.environment)
    assert required.packages == ("plugin[fast]==2.0", "scikit-learn>=1.2", "solver==2.0")
    assert required.notes == (
        "left out, because not installed on this machine: name-that-nobody-knows (required by kit)",
        "scikit-learn is not installed on this machine, so its version is not pinned",
    )


def test_extras_that_one_local_package_asks_of_another_are_followed(project: Path, site: Path) -> None:
    write(project / "solvers/__init__.py")
    declare(site, "kit", "solvers-proj[all]", modules=("resources/__init__.py",))
    declare(site, "solvers-proj", "numpy; extra == 'all'", modules=("solvers/__init__.py",))
    assert list(dependencies_of(["resources", "solvers"])) == ["numpy"]
    assert list(dependencies_of(["solvers"])) == []


def test_a_part_of_a_package_requires_what_its_files_import(project: Path, site: Path) -> None:
    declare(site, "kit", "gradio", root=project)
    write(project / "resources/part.py")
    assert list(dependencies_of(["resources"])) == ["gradio"]
    assert list(dependencies_of(["resources.part"])) == []


@pytest.mark.parametrize(
    ("imported", "where", "what"),
    [
        ("import solvers", "resources/__init__.py:1", "length imports 'solvers', but solvers-proj"),
        ("", "builtins.len", "length ships a package of kit, which requires 'solvers-proj', but solvers-proj"),
    ],
)
def test_another_project_of_this_machine_is_not_asked_of_an_index(
    project: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imported: str, where: str, what: str
) -> None:
    other = tmp_path / "other"
    write(other / "solvers/__init__.py")
    monkeypatch.syspath_prepend(other)
    write(project / "resources/__init__.py", imported)
    declare(site, "kit", "solvers-proj", root=project)
    info = declare(site, "solvers-proj", root=other)
    write(site / "solvers.pth", f"{other}\n")
    (info / "RECORD").write_text("solvers.pth,,\n")
    shipped = Shipper(project).ship(len, "length", ("resources",))
    call = Call("key", "length", shipped, {}, Environment(local_packages=("resources",)))
    assert refusal(call) == (
        f"{what} is installed as editable from a directory of this machine\n"
        f"  where: {where}\n"
        '  what to do: ship it as it is: local_packages=["resources", "solvers"]; or name one that an index has: '
        "packages=[...]"
    )
    assert requirements_of(Batch([call]), call.environment).packages == ()
    assert list(dependencies_of(["resources", "solvers"])) == []


NOT_FOUND_THERE = {
    "import helpers": "helpers",
    "from helpers import f": "helpers",
    "from {0}.part import inner": None,
    "from {0}.other import g": "{0}.other",
    "from .. import other": "{0}.other",
    "from ..other import g": "{0}.other",
    "from .. import NAME": "{0}",
    "from . import inner": None,
    "import numpy, json, os.path": None,
    "import not_installed_anywhere": None,
    "def f():\n    import helpers": None,
    "try:\n    import helpers\nexcept ImportError:\n    helpers = None": None,
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import helpers": None,
}


@pytest.mark.parametrize("via", ["__init__", "inner"])
def test_modules_of_the_project_that_they_import_have_to_travel_too(project: Path, via: str) -> None:
    write(project / "helpers.py")
    expected = {}
    for number, (imported, refused) in enumerate(NOT_FOUND_THERE.items()):
        whole = f"whole{number}"
        expected[whole] = refused and refused.format(whole)
        for name in ("__init__", "other", "part/__init__", "part/inner"):
            write(project / whole / f"{name}.py")
        write(project / whole / "part/tests/test_it.py", "import helpers\n")
        if via == "inner":
            write(project / whole / "part/__init__.py", "from .inner import *\n")
        write(project / whole / f"part/{via}.py", imported.format(whole))
    found = {whole: left_behind([f"{whole}.part"], [], ()) for whole in expected}
    assert {whole: behind and behind[0] for whole, behind in found.items()} == expected
    assert found["whole3"] == ("whole3.other", "whole3", f"whole3/part/{via}.py:1")
    assert left_behind(["whole3.part"], [], {"whole3.other"}) is None, "it travels as source"


def test_all_packages_of_a_distribution_that_is_shipped_have_to_travel(project: Path, site: Path) -> None:
    declare(site, "kit", modules=("kit_main/__init__.py", "kit_more/__init__.py"))
    write(site / "kit_main/__init__.py", "import numpy\nimport kit_more\n")
    assert left_behind(["kit_main"], [], ()) == ("kit_more", "kit_more", "kit_main/__init__.py:2")
    assert left_behind(["kit_main", "kit_more"], [], ()) is None


def test_a_module_that_does_not_travel_is_refused_before_anything_is_sent(project: Path) -> None:
    write(project / "helpers.py")
    write(project / "resources/__init__.py", "import json\nimport helpers\n")
    shipped = Shipper(project).ship(len, "length", ("resources",))
    declared = {"local_packages": ("resources",)}
    message = (
        "length ships a package that imports 'helpers', which does not travel with it\n"
        "  where: resources/__init__.py:2\n"
        '  what to do: ship it as it is: local_packages=["resources", "helpers"]'
    )
    for more, expected in (({}, message), ({"packages": ()}, message), ({"image": object()}, None)):
        environment = Environment(**declared, **more)  # type: ignore[arg-type]
        assert refusal(Call("key", "length", shipped, {}, environment)) == expected


# Their metadata.


def files_below(project: Path, *packages: str) -> dict[str, str]:
    return metadata_of(packages, all_files(packages))


def test_metadata_travels_without_what_is_of_this_machine(project: Path, site: Path) -> None:
    info = declare(site, "my.kit", "numpy", root=project)
    write(info / "entry_points.txt", "[kit]\nsolver = resources:solve\n")
    (info / "INSTALLER").write_text("pip")
    assert files_below(project, "resources") == {
        "my_kit-1.0.dist-info/METADATA": (
            "Metadata-Version: 2.1\nName: my.kit\nVersion: 1.0\nProvides-Extra: all\nRequires-Dist: numpy\n"
        ),
        "my_kit-1.0.dist-info/entry_points.txt": "[kit]\nsolver = resources:solve\n",
        "my_kit-1.0.dist-info/RECORD": (
            "resources/__init__.py,,\nresources/data/table.bin,,\nmy_kit-1.0.dist-info/METADATA,,\n"
            "my_kit-1.0.dist-info/entry_points.txt,,\nmy_kit-1.0.dist-info/RECORD,,\n"
        ),
    }


def by_path_file(project: Path, site: Path) -> None:
    """Install as hatchling and flit do, and setuptools for a src layout."""
    info = declare(site, "kit", root=project)
    write(site / "_kit.pth", f"{project}\n")
    (info / "RECORD").write_text("_kit.pth,,\n")


def by_finder(project: Path, site: Path) -> None:
    """Install as setuptools does for a flat layout."""
    info = declare(site, "kit", root=project)
    write(site / "__editable__.kit-1.0.pth", "import __editable___kit_1_0_finder; ...")
    (info / "RECORD").write_text("__editable__.kit-1.0.pth,,\n__editable___kit_1_0_finder.py,,\n")
    (info / "top_level.txt").write_text("resources\n")


def beside_the_source(project: Path, site: Path) -> None:
    """Leave what a build leaves beside the source: the project is on the path, and not installed."""
    write(project / "kit.egg-info/PKG-INFO", "Metadata-Version: 2.1\nName: kit\nVersion: 1.0\n")
    write(project / "kit.egg-info/top_level.txt", "resources\n")
    write(project / "kit.egg-info/SOURCES.txt", "setup.py\nresources/__init__.py\n")


def from_an_index(project: Path, site: Path) -> None:
    install(site, "kit", "1.0", "resources/__init__.py")


INSTALLS = (by_path_file, by_finder, beside_the_source, from_an_index)


@pytest.mark.parametrize("how", INSTALLS, ids=lambda how: how.__name__)
def test_the_distribution_is_found_however_it_was_installed(
    project: Path, site: Path, how: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert callable(how)
    how(project, site)
    importlib.invalidate_caches()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])  # what is known of this path is from before
    assert owners_of(["resources"]) == ["kit"]
    assert owners_of(["resources.data"]) == ["kit"]
    assert "Name: kit\nVersion: 1.0\n" in files_below(project, "resources")["kit-1.0.dist-info/METADATA"]


@pytest.mark.parametrize("how", [by_path_file, by_finder], ids=lambda how: how.__name__)
def test_helpers_of_the_tests_are_of_no_distribution(
    project: Path, site: Path, how: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(how)
    how(project, site)
    write(project / "tests/helpers_of_tests.py")
    monkeypatch.syspath_prepend(project / "tests")
    assert owners_of(["helpers_of_tests"]) == []
    assert files_below(project, "helpers_of_tests") == {}


def test_a_project_that_is_not_installed_has_no_metadata(project: Path) -> None:
    assert files_below(project, "resources") == {}
    assert dependencies_of(["resources"]) == {}


def test_a_namespace_of_two_projects_brings_the_metadata_of_both(
    project: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = {name: tmp_path / name for name in ("left", "right")}
    for name, root in roots.items():
        write(root / "src/space" / name / "__init__.py")
        info = declare(site, f"space-{name}", root=root)
        write(site / f"{name}.pth", f"{root / 'src'}\n")
        (info / "RECORD").write_text(f"{name}.pth,,\n")
        monkeypatch.syspath_prepend(root / "src")
    found = files_below(project, "space")
    assert sorted(found) == [f"space_{name}-1.0.dist-info/{file}" for name in roots for file in ("METADATA", "RECORD")]
    assert found["space_left-1.0.dist-info/RECORD"].startswith("space/left/__init__.py,,\nspace_left")
    assert owners_of(["space.right"]) == ["space-right"]


def test_the_nearest_of_nested_projects_has_a_package(
    project: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(site, "everything", root=project)
    declare(site, "inner", root=project / "packages/inner")
    write(project / "packages/inner/nested/__init__.py")
    monkeypatch.syspath_prepend(project / "packages/inner")
    assert owners_of(["nested"]) == ["inner"]


# Their names.


@pytest.mark.parametrize(
    ("name", "what", "remedy"),
    [
        ("resourcs", "the local package 'resourcs' can't be imported on this machine", "did you mean 'resources'?"),
        ("resources.dta", "the local package 'resources.dta' can't be imported", "did you mean 'resources.data'?"),
        ("resourcs.data", "the local package 'resourcs.data' can't be imported", "did you mean 'resources.data'?"),
        ("resources/", "'resources/' is a path, not an import name", "did you mean 'resources'?"),
        ("src/resources", "'src/resources' is a path, not an import name", "did you mean 'resources'?"),
        ("./single.py", "'./single.py' is a path, not an import name", "did you mean 'single'?"),
        ("single.py", "the local package 'single.py' can't be imported", "did you mean 'single'?"),
        ("nowhere/at/all", "'nowhere/at/all' is a path, not an import name", "use the import name of a package"),
        (
            "my-kit",
            "'my-kit' is the name of a distribution, not an import name",
            "did you mean 'kernels' or 'solvers'?",
        ),
        ("mykit.x-y", "'mykit.x-y' is not an import name", "use the import name of a package"),
        ("safetensors==0.1", "'safetensors==0.1' is the name of a distribution", "did you mean 'safetensors'?"),
        ("Pillow", "the local package 'Pillow' can't be imported", "did you mean 'PIL'?"),
        ("", "'' is not an import name", "use the import name of a package"),
        ("json", "'json' is of Python's standard library, which a container has", "remove 'json' from local_packages="),
        ("os.path", "'os.path' is of Python's standard library", "remove 'os.path' from local_packages="),
        ("pytest", "'pytest' can't be shipped: a container does not have pytest", "remove 'pytest'"),
        ("zzz_qqq", "the local package 'zzz_qqq' can't be imported", "install the project (pip install -e .), or set"),
        ("made_up", "'made_up' was made at run time on this machine: it has no files", "remove 'made_up'"),
    ],
)
def test_what_is_no_import_name_is_refused_with_the_one_that_was_meant(
    project: Path, site: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str, remedy: str
) -> None:
    write(project / "single.py")
    write(project / "resources/data/__init__.py")
    install(site, "my-kit", "1.0", "solvers/__init__.py", "kernels.py", "_private.py")
    monkeypatch.setitem(sys.modules, "made_up", type(sys)("made_up"))
    wrong = wrong_package(name)
    assert wrong is not None
    assert wrong[0].startswith(what)
    assert remedy in wrong[1]


@pytest.mark.parametrize("name", ["resources", "resources.data", "single", "numpy", "numpy.linalg"])
def test_what_can_be_imported_is_a_local_package_installed_ones_too(project: Path, name: str) -> None:
    write(project / "single.py")
    assert wrong_package(name) is None


# What users see of them.


def test_the_plan_shows_them_and_warns_of_large_ones(pytester: pytest.Pytester) -> None:
    kit = pytester.mkpydir("kit")
    with (kit / "weights.bin").open("wb") as weights:
        weights.truncate(60 << 20)
    pytester.makepyfile(
        helper="ONE = 1\n",
        test_it="""
        import pytest

        def answer(): return 1

        @pytest.mark.modal_gpu(function=answer, local_packages=["kit", "helper"])
        def test_it(modal_result): pass

        @pytest.mark.modal_gpu(function=answer, local_packages=["kitt"])
        def test_typo(modal_result): pass
        """,
    )
    pytester.syspathinsert()
    result = pytester.runpytest("--modal-plan", "-p", "no:randomly")
    result.stdout.fnmatch_lines(
        [
            "modal: warning: local_packages= sends 60.0 MiB of 'kit', kit/weights.bin alone is 60.0 MiB: keep large *",
            "  local packages: helper (1 file, 7 B), kit (2 files, 60.0 MiB)",
            "can't be planned: test_it.py::test_typo",
            "  the local package 'kitt' can't be imported on this machine",
            "    where: local_packages= of test_it.py::test_typo",
            "    what to do: did you mean 'kit'?",
        ]
    )


def test_a_real_editable_install_of_setuptools_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("setuptools", minversion="70.1")
    root, site = tmp_path / "project", tmp_path / "site"
    write(root / "flat_kit/__init__.py")
    write(root / "other_directory/x.py")
    pyproject = '[project]\nname = "flat-kit-proj"\nversion = "0.3"\n[tool.setuptools]\npackages = ["flat_kit"]\n'
    write(root / "pyproject.toml", f'[build-system]\nrequires = ["setuptools"]\n{pyproject}')
    build = "import sys; from setuptools.build_meta import build_editable; print(build_editable(sys.argv[1]))"
    site.mkdir()
    subprocess.run([sys.executable, "-c", build, str(site)], cwd=root, check=True, capture_output=True, timeout=120)
    (wheel,) = site.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (info,) = site.glob("*.dist-info")
    (info / "direct_url.json").write_text(json.dumps({"url": root.as_uri(), "dir_info": {"editable": True}}))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    monkeypatch.syspath_prepend(site)
    for line in next(site.glob("*.pth")).read_text().splitlines():
        exec(line)
    assert list(files_of("flat_kit")) == ["flat_kit/__init__.py"]
    assert owners_of(["flat_kit"]) == ["flat-kit-proj"]
