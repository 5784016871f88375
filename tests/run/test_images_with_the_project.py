"""An image of the project's own may have the project: it is taken from there on Modal, and from here in local mode."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from loopback_modal import LoopbackModal

FAST = """
#define PY_SSIZE_T_CLEAN
#include <Python.h>
static PyObject *twice(PyObject *self, PyObject *x) { return PyLong_FromLong(2 * PyLong_AsLong(x)); }
static PyMethodDef methods[] = {{"twice", twice, METH_O, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fast", NULL, -1, methods};
PyMODINIT_FUNC PyInit__fast(void) { return PyModule_Create(&module); }
"""
TESTS = """
    import sys

    import modal
    import pytest
    from helpers import plus_one

    BASE = modal.Image.debian_slim(python_version="%d.%d" % sys.version_info[:2])
    HERE = {"image": BASE.add_local_dir("src", "/root"), "gpu": "T4"}

    def source(n):
        from kit import triple
        return plus_one(triple(n))

    def data(n):
        from kit.tables import answer
        return answer() + n

    def compiled(n):
        from kit.native import twice
        return twice(n)

    @pytest.mark.modal_gpu(function=source, args={"n": 5}, **HERE)
    def test_source(modal_result): assert modal_result == 16

    @pytest.mark.modal_gpu(function=data, args={"n": 5}, **HERE)
    def test_data_file(modal_result): assert modal_result == 47

    @pytest.mark.modal_gpu(function=compiled, args={"n": 5}, **HERE)
    def test_c_extension(modal_result): assert modal_result == 10
    """


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    kit = pytester.path / "src" / "kit"
    (kit / "data").mkdir(parents=True)
    (kit / "__init__.py").write_text("from .deep import triple\n")
    (kit / "deep.py").write_text("from . import config\n\ndef triple(n): return config.FACTOR * n\n")
    (kit / "config.py").write_text("FACTOR = 3\n")
    (kit / "native.py").write_text("from kit._fast import twice\n")
    (kit / "tables.py").write_text(
        "import json\nfrom importlib.resources import files\n\n"
        "def answer(): return json.loads(files('kit').joinpath('data/table.json').read_text())['answer']\n"
    )
    (kit / "data" / "table.json").write_text('{"answer": 42}')
    source = Path(pytester.path, "fast.c")
    source.write_text(FAST)
    target = kit / f"_fast{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = sysconfig.get_path("include")
    subprocess.run([compiler, "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(target)], check=True)
    pytester.makepyfile(test_it=TESTS, helpers="def plus_one(n): return n + 1")
    pytester.makeini("[pytest]\npythonpath = . src\n")
    return pytester


@pytest.mark.parametrize("mode", ["local", "modal"])
def test_source_data_and_compiled_modules(project: pytest.Pytester, modal_server: LoopbackModal, mode: str) -> None:
    result = project.runpytest_subprocess(f"--modal-mode={mode}", timeout=90)
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*PM10*")


def test_an_image_without_the_package_has_its_statements_only(
    project: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    path = project.path / "test_it.py"
    path.write_text(path.read_text().replace('BASE.add_local_dir("src", "/root")', "BASE"))
    result = project.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*No module named 'kit._fast'*"])
