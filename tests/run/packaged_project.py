"""A project whose packages travel as they are, with a suite that looks at what arrives in a container."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import textwrap
from pathlib import Path

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
COMPILED = f"_fast{sysconfig.get_config_var('EXT_SUFFIX')}"

FILES = {
    "pytest.ini": """
        [pytest]
        pythonpath = src one two
        """,
    # As an installer leaves it: the search path has the project, which is developed in its directory.
    "conftest.py": """
        import site
        from pathlib import Path
        site.addsitedir(str(Path(__file__).with_name("site")))
        """,
    "site/kit.pth": "{root}/src\n",
    "site/kit_proj-1.2.dev3+gabc.dist-info/METADATA": """
        Metadata-Version: 2.1
        Name: kit-proj
        Version: 1.2.dev3+gabc
        Requires-Dist: numpy>=1
        Requires-Dist: safetensors; extra == "files"
        Requires-Dist: nothing-of-that-name
        Requires-Dist: pytest

        # A page about the project
        """,
    "site/kit_proj-1.2.dev3+gabc.dist-info/entry_points.txt": """
        [kit.solvers]
        exact = kit.solvers.exact:solve
        """,
    "site/kit_proj-1.2.dev3+gabc.dist-info/RECORD": """
        kit.pth,,
        kit_proj-1.2.dev3+gabc.dist-info/METADATA,,
        """,
    "src/kit/__init__.py": """
        from importlib.metadata import version

        from .solvers.exact import solve

        __version__ = version("kit-proj")
        """,
    "src/kit/config.py": "FACTOR = 3\n",
    "src/kit/solvers/__init__.py": "",
    "src/kit/solvers/exact.py": """
        from .. import config

        def solve(x): return config.FACTOR * x
        """,
    "src/kit/data/table.json": '{"answer": 42}\n',
    "src/kit/data/.token": "stays here\n",
    "src/kit/__pycache__/old.pyc": "",
    "src/kit/template.py": "def {{ name }}(): pass\n",
    "src/kit/tables.py": """
        import json
        from importlib.resources import files

        def answer(): return json.loads(files("kit").joinpath("data/table.json").read_text())["answer"]
        """,
    "src/kit/native.py": "from kit._fast import twice\n",
    "fast.c": """
        #define PY_SSIZE_T_CLEAN
        #include <Python.h>
        static PyObject *twice(PyObject *self, PyObject *x) { return PyLong_FromLong(2 * PyLong_AsLong(x)); }
        static PyMethodDef methods[] = {{"twice", twice, METH_O, ""}, {NULL, NULL, 0, NULL}};
        static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fast", NULL, -1, methods};
        PyMODINIT_FUNC PyInit__fast(void) { return PyModule_Create(&module); }
        """,
    # Of a large package only a part is sent; what the functions use of the rest travels as source.
    "src/large/__init__.py": """
        from .machine import LIMIT

        UNUSED = LIMIT + 1
        """,
    "src/large/machine.py": "LIMIT = 7\nUNUSED = 8\n",
    "src/large/kernels/__init__.py": "from .grid import cells\n",
    "src/large/kernels/grid.py": """
        from pathlib import Path

        def cells(): return int(Path(__file__).with_name("cells.txt").read_text())
        """,
    "src/large/kernels/cells.txt": "64",
    # A namespace in two directories.
    "one/space/left.py": "from space.right import NAME as OTHER\nNAME = 'left'\n",
    "two/space/right.py": "NAME = 'right'\n",
    "two/space/deep/inner/__init__.py": "NAME = 'inner'\n",
    "src/single.py": "from pathlib import Path\n\nNAME = Path(__file__).name\n",
}

SUITE = """
    import pytest
    from large import LIMIT

    KIT = {"local_packages": ["kit"]}

    def subpackages():
        import kit
        return [kit.solve(5), kit.solvers.exact.solve.__module__]

    def data_file():
        from kit.tables import answer
        return answer()

    def native():
        from kit.native import twice
        return twice(21)

    def metadata():
        import importlib.metadata as metadata
        import kit
        named = [each.load()(2) for each in metadata.entry_points(group="kit.solvers")]
        missing = [file for file in metadata.files("kit-proj") if not file.locate().is_file()]
        tops = sorted(set(metadata.packages_distributions()["kit"]))  # a path may be there twice
        about = metadata.metadata("kit-proj")
        return [kit.__version__, named, missing, tops, metadata.requires("kit_proj"), about.get_payload()]

    def files():
        import importlib.metadata as metadata
        import kit
        from pathlib import Path
        root = Path(kit.__file__).parent
        there = sorted(each.relative_to(root).as_posix() for each in root.rglob("*") if each.suffix != ".pyc")
        recorded = sorted(map(str, metadata.files("kit-proj")))
        information = sorted(each.name for each in root.parent.glob("*.dist-info/*"))
        return [there, recorded, information]

    def required():
        import importlib.util
        import numpy
        return [importlib.util.find_spec("safetensors") is None, numpy.arange(3).sum()]

    def spawned():
        import multiprocessing
        import kit
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.map(kit.solve, [1, 2])

    def part():
        from large.kernels import cells
        from large.kernels.grid import cells as same
        import large.kernels.grid
        is_same = same is large.kernels.grid.cells
        return [cells(), is_same, LIMIT, hasattr(large, "UNUSED"), hasattr(large.machine, "UNUSED")]

    def namespace():
        import space.left, space.deep.inner
        return [space.left.NAME, space.left.OTHER, space.deep.inner.NAME]

    def part_of_namespace():
        from space.deep.inner import NAME
        from space.right import NAME as OTHER
        return [NAME, OTHER]

    def single():
        import single
        return single.NAME

    def nothing(): return None

    @pytest.mark.modal_gpu(function=subpackages, **KIT)
    def test_subpackages(modal_result): assert modal_result == [15, "kit.solvers.exact"]

    @pytest.mark.modal_gpu(function=data_file, **KIT)
    def test_data_file(modal_result): assert modal_result == 42

    @pytest.mark.modal_gpu(function=native, **KIT)
    def test_c_extension(modal_result): assert modal_result == 42

    @pytest.mark.modal_gpu(function=metadata, **KIT)
    def test_metadata(modal_result):
        version, named, missing, tops, required, description = modal_result
        assert version == "1.2.dev3+gabc"
        assert named == [6] and missing == [] and tops == ["kit-proj"] and description.strip() == ""
        assert required[0] == "numpy>=1"

    @pytest.mark.modal_gpu(function=files, **KIT)
    def test_files(modal_result, save_json):
        there, recorded, information = modal_result
        assert "data/table.json" in there and "template.py" in there
        assert not [name for name in there if "token" in name or name.endswith("old.pyc")]
        assert "kit/data/table.json" in recorded
        assert information == ["METADATA", "RECORD", "entry_points.txt"]
        save_json("files.json", recorded)

    @pytest.mark.modal_gpu(function=required, **KIT)
    def test_requirements(modal_result, pytestconfig):
        absent, total = modal_result
        assert total == 3
        if pytestconfig.getoption("modal_mode") == "modal": assert absent

    @pytest.mark.modal_gpu(function=spawned, **KIT)
    def test_spawned_processes(modal_result): assert modal_result == [3, 6]

    @pytest.mark.modal_gpu(function=part, local_packages=["large.kernels"])
    def test_part_of_a_package(modal_result): assert modal_result == [64, True, 7, False, False]

    @pytest.mark.modal_gpu(function=namespace, local_packages=["space"])
    def test_namespace(modal_result): assert modal_result == ["left", "right", "inner"]

    @pytest.mark.modal_gpu(function=part_of_namespace, local_packages=["space.deep"])
    def test_part_of_a_namespace(modal_result): assert modal_result == ["inner", "right"]

    @pytest.mark.modal_gpu(function=single, local_packages=["single"])
    def test_single_module(modal_result): assert modal_result == "single.py"

    @pytest.mark.modal_gpu(function=nothing, local_packages=["kti"])
    def test_typo(modal_result): pass

    @pytest.mark.modal_gpu(function=nothing)
    def test_innocent(modal_result): assert modal_result is None
    """


def write_project(root: Path) -> None:
    """Write the files of the project, its compiled module too where there is a compiler."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n").replace("{root}", str(root)))
    origin = {"url": root.as_uri(), "dir_info": {"editable": True}}
    (root / "site/kit_proj-1.2.dev3+gabc.dist-info/direct_url.json").write_text(json.dumps(origin))
    if COMPILER is not None:
        include = sysconfig.get_path("include")
        command = [COMPILER, "-shared", "-fPIC", f"-I{include}", "fast.c", "-o", f"src/kit/{COMPILED}"]
        if sysconfig.get_platform().startswith("macosx"):
            command += ["-undefined", "dynamic_lookup"]
        subprocess.run(command, cwd=root, check=True, timeout=60)
