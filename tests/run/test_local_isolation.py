"""Local mock mode shows what is missing in a container: packages, files of the project, environment variables."""

from __future__ import annotations

import sqlite3
import textwrap
from pathlib import Path

import pytest
from literal_lines import assert_lines

from pytest_modal.batch.calls import Batch
from pytest_modal.batch.environment import Environment
from pytest_modal.declare.settings import LocalOptions
from pytest_modal.run.isolation import INHERITED, TEMPLATES, Isolation

PAGE = Path(__file__).parents[2] / "docs" / "local-mode.md"
IN_ORDER = ("-p", "no:randomly")

# Files

READS = (
    "open(file)",
    "open(os.fsencode(file), 'rb')",
    "open(file, 'r+')",
    "os.open(file, os.O_RDONLY)",
    "pathlib.Path(file).read_text()",
    "(os.chdir('..'), open(os.path.relpath(file)))",
    "(os.symlink(file, 'link'), open('link'))",
    "shutil.copy(file, 'copy')",
    "json.load(io.FileIO(file))",
    "importlib.util.spec_from_file_location('code', folder + '/code.py').loader.exec_module(types.ModuleType('code'))",
    "runpy.run_path(folder + '/code.py')",
    "ctypes.CDLL(folder + '/code.py')",
    "sqlite3.connect(folder + '/base.db')",
    "numpy.loadtxt(file)",
    "os.listdir(folder)",
    "os.listdir(os.fsencode(folder))",
    "os.scandir(pathlib.Path(folder))",
    "list(pathlib.Path(folder).iterdir())",
    "os.chdir(folder)",
    "subprocess.run(['true'], cwd=folder)",
    "subprocess.run([folder + '/program.sh'])",
    "os.posix_spawn(folder + '/program.sh', ['program.sh'], {})",
)
READER = """
import pytest_modal

@pytest_modal.fixture(params={params!r}, env={{"PROJECT": {project!r}}}, on_error="value", {more})
def read(request):
    import ctypes, glob, importlib.util, io, json, linecache, os, pathlib, runpy, shutil, sqlite3, subprocess
    import tempfile, traceback, types
    import numpy
    folder = os.environ["PROJECT"]
    file = folder + "/data.txt"
    return eval(request.param)
"""


def reader(pytester: pytest.Pytester, tests: str, more: str = "", *, params: tuple[str, ...]) -> Path:
    """Write a project with data, and a suite with a fixture that reads as its parameters say."""
    project = pytester.mkdir("data")
    (project / "data.txt").write_text("7\n")
    (project / "code.py").write_text("X = 7\n")
    (project / "program.sh").write_text("#!/bin/sh\n")
    (project / "program.sh").chmod(0o755)
    with sqlite3.connect(project / "base.db") as base:
        base.execute("create table numbers (x)")
    pytester.makepyfile(READER.format(params=params, project=str(project), more=more) + textwrap.dedent(tests))
    return project


def test_files_of_the_project_cannot_be_read_by_whatever_way(pytester: pytest.Pytester) -> None:
    tests = """
        def test_is_missing(read):
            assert read.type == "FileNotFoundError", read
            assert "a container has no files of the project: read it in a local fixture" in read.message
    """
    reader(pytester, tests, params=READS)
    pytester.runpytest(*IN_ORDER).assert_outcomes(passed=len(READS))


def test_a_file_that_is_read_fails_the_test_with_what_to_do(pytester: pytest.Pytester) -> None:
    project = reader(pytester, "def test_it(read): pass", params=("open(file)",))
    suite = next(pytester.path.glob("test_*.py"))
    suite.write_text(suite.read_text().replace('on_error="value", ', ""))
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    assert_lines(
        result.outlines,
        [
            "read[open(file)] raised FileNotFoundError",
            "  what to do: read the file in a local fixture and pass its content: a container has none of your files",
            "FileNotFoundError: [Errno 2] a container has no files of the project: read it in a local fixture and pass "
            f"its content as a parameter, or use local_packages= or volumes=: '{project}/data.txt'",
        ],
    )


MAY = (
    # What a call wrote itself.
    "(open(folder + '/new.txt', 'w').write('7'), open(folder + '/new.txt').read())[1]",
    "(open(file, 'w').write('7'), open(file).read())[1]",
    "(open('here.txt', 'w').write('7'), os.replace('here.txt', file), open(file).read())[2]",
    "(os.makedirs(folder + '/made/in', exist_ok=True), os.listdir(folder + '/made'))[1] == ['in'] and '7'",
    "sqlite3.connect(folder + '/new.db').execute('select 7').fetchone()[0]",
    "sqlite3.connect(':memory:').execute('select 7').fetchone()[0]",
    # What is nobody's project.
    "open(os.environ['HF_HOME'] + '/seven').read()",
    "open(os.environ['TMPDIR'] + '/seven').read()",
    "open(os.path.expanduser('~/.cache/seven')).read()",
    "open(folder + '/volume/seven').read()",
    "open(numpy.__file__).read() and '7'",
    "os.listdir('/usr') and os.listdir('.') is not None and '7'",
    # What tells of the project's files, and finds none.
    "linecache.getlines(folder + '/code.py') == list(os.walk(folder)) == [] and '7'",
)


@pytest.mark.parametrize("rootdir", [None, "/"])
def test_what_is_not_the_projects_can_be_read(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, rootdir: str | None
) -> None:
    more = f"""volumes={{{str(pytester.path / "data" / "volume")!r}: "a-volume"}}"""
    project = reader(pytester, "def test_it(read): assert int(read) == 7", more, params=MAY)
    (project / "volume").mkdir()
    places = {"TMPDIR": pytester.mkdir("temporary"), "HF_HOME": pytester.mkdir("hub"), "HOME": pytester.path}
    for name, place in places.items():
        monkeypatch.setenv(name, str(place))
    pytester.mkdir(".cache")
    for place in (places["TMPDIR"], places["HF_HOME"], pytester.path / ".cache", project / "volume"):
        (place / "seven").write_text("7")
    arguments = [f"--rootdir={rootdir}"] if rootdir else []
    pytester.runpytest(*IN_ORDER, *arguments).assert_outcomes(passed=len(MAY))


# Packages

LOOKS = """
import modal
import pytest

def look(name):
    import importlib.metadata, importlib.util
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        assert (str(error), error.name) == (f"No module named {name!r}", name)
        imported = False
    else:
        imported = True
    try:
        versioned = bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        versioned = False
    return {
        "imported": imported,
        "versioned": versioned,
        "spec": importlib.util.find_spec(name) is not None,
        "modules": name in importlib.metadata.packages_distributions(),
        "distributions": name in [each.name for each in importlib.metadata.distributions()],
    }

def stands_in(name):
    import filelock
    return look(name)
"""
SEEN = {
    "derived": ("", "filelock", False),
    "named": ('packages=["numpy"]', "filelock", False),
    "named itself": ('packages=["numpy", "filelock>=3"]', "filelock", True),
    "required": ('packages=["pytest"]', "iniconfig", True),
    "of Modal's runtime": ("packages=[]", "aiohttp", True),
    "brought along": ("packages=[]", "cloudpickle", True),
    "image": ('packages=["numpy"], image=modal.Image.debian_slim()', "filelock", True),
    "nameless": ('packages=["git+https://example.org/it.git"]', "filelock", True),
    "unheard-of": ('packages=["no-such-distribution"]', "filelock", True),
    "mock": ('packages=["numpy"], timeout=60, mock=stands_in', "filelock", True),
    "not of a mock": ('packages=["numpy"], timeout=60, mock=stands_in', "iniconfig", False),
}


def test_only_what_the_image_would_have_is_installed(pytester: pytest.Pytester) -> None:
    test = """
@pytest.mark.modal_gpu(function=look, args={{"name": {name!r}}}, {more})
def test_{number}(modal_result): assert set(modal_result.values()) == {{{seen}}}, modal_result
"""
    tests = [
        test.format(number=number, more=more, name=name, seen=seen)
        for number, (more, name, seen) in enumerate(SEEN.values())
    ]
    pytester.makepyfile(LOOKS + "".join(tests))
    pytester.runpytest(*IN_ORDER).assert_outcomes(passed=len(SEEN))


NOTE = (
    "filelock is installed on this machine, but the image of this function would not have it: import it in the "
    "function, or above it, so that it is derived, or name it in packages=[...]"
)


@pytest.mark.parametrize(
    ("use", "is_noted"),
    [
        ("__import__(name)", True),
        ("__import__(name + '.asyncio')", True),
        ("importlib.metadata.version(name)", True),
        ("importlib.metadata.version('FileLock')", False),
        ("__import__('no_such_module')", False),
        ("importlib.metadata.version('no-such-distribution')", False),
        ("exec('raise ModuleNotFoundError')", False),
    ],
)
def test_an_error_about_a_missing_package_says_what_to_do(pytester: pytest.Pytester, use: str, is_noted: bool) -> None:
    pytester.makepyfile(
        f"""
        import importlib.metadata
        import pytest

        def body(name): return bool({use})

        @pytest.mark.modal_gpu(function=body, args={{"name": "filelock"}}, packages=[])
        def test_it(modal_result): pass
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    assert (NOTE in result.outlines) == is_noted


def test_code_that_looks_first_takes_the_branch_that_it_takes_in_a_container(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        helpers="""
        try:
            lock = __import__("file" + "lock")
        except ImportError:
            lock = None
        """,
        test_it="""
        import pytest, pytest_modal
        import helpers

        @pytest_modal.fixture(packages=["numpy"])
        def locked(): return helpers.lock is not None

        @pytest_modal.fixture(packages=["numpy", "filelock"])
        def really_locked(): return helpers.lock is not None

        def test_it(locked, really_locked): assert (locked, really_locked) == (False, True)
        """,
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_a_local_package_is_there_although_no_image_installs_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        **{"own/__init__": "from own.part import X", "own/part": "X = 7"},
        test_it="""
        import pytest_modal

        @pytest_modal.fixture(packages=[], local_packages=["own"])
        def number():
            import own
            return own.X

        def test_it(number): assert number == 7
        """,
    )
    pytester.syspathinsert()
    pytester.runpytest().assert_outcomes(passed=1)


# Environment variables

VARIABLES = """
import os
import pytest

def read(name): return os.environ[name]
def get(name): return os.environ.get(name)
def names(): return sorted(os.environ)
"""


def test_variables_of_this_machine_are_not_inherited(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPERIMENT", "do not tell")
    pytester.makepyfile(
        VARIABLES
        + textwrap.dedent("""
        @pytest.mark.modal_gpu(function=get, args={"name": "EXPERIMENT"})
        def test_without(modal_result): assert modal_result is None

        @pytest.mark.modal_gpu(function=names)
        def test_what_there_is(modal_result):
            assert {"PATH", "HOME"} < set(modal_result)
            assert not [name for name in modal_result if name.startswith(("PYTEST_", "MODAL_"))]

        @pytest.mark.modal_gpu(function=get, args={"name": "EXPERIMENT"}, env={"EXPERIMENT": "mine"})
        def test_declared(modal_result): assert modal_result == "mine"

        @pytest.mark.modal_gpu(function=read, args={"name": "EXPERIMENT"})
        def test_needed(modal_result): pass

        @pytest.mark.modal_gpu(function=read, args={"name": "SET_NOWHERE"})
        def test_set_nowhere(modal_result): pass
        """)
    )
    result = pytester.runpytest(*IN_ORDER)
    result.assert_outcomes(passed=3, errors=2)
    note = (
        "EXPERIMENT is set on this machine, but a container does not have it: set env= or secrets=, or for local runs "
        "the ini modal_local_env"
    )
    assert_lines(result.outlines, ["KeyError: 'EXPERIMENT'", note])
    assert "SET_NOWHERE is set" not in result.stdout.str()
    assert "do not tell" not in result.stdout.str()


def test_no_value_of_a_variable_reaches_the_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EXPERIMENT", "do not tell")
    isolation = Isolation(Batch(), tmp_path, LocalOptions())
    limits = isolation.limits(Environment(env=(("DECLARED", "x"),)), tmp_path)
    assert {"EXPERIMENT", "PATH"} & set(limits["variables"]) == {"EXPERIMENT"}
    assert "do not tell" not in str([limits, isolation.variables(Environment())])


INHERITS = """
    import os
    import pytest

    def names(): return sorted(os.environ)

    @pytest.mark.modal_gpu(function=names{more})
    def test_it(modal_result): assert {{{names}}} <= set(modal_result) and "WITHHELD" not in modal_result
"""


@pytest.mark.parametrize(
    ("ini", "names"),
    [
        ("WANDB_PROJECT", ["WANDB_PROJECT"]),
        ("WANDB_*\n  DATA_DIR", ["WANDB_PROJECT", "WANDB_MODE", "DATA_DIR"]),
        ("[DW]A*", ["WANDB_PROJECT", "DATA_DIR"]),
    ],
)
def test_the_ini_names_variables_that_are_inherited_all_the_same(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ini: str, names: list[str]
) -> None:
    for name in ("WANDB_PROJECT", "WANDB_MODE", "DATA_DIR", "WITHHELD"):
        monkeypatch.setenv(name, "1")
    pytester.makeini(f"[pytest]\nmodal_local_env =\n  {ini}\n")
    pytester.makepyfile(INHERITS.format(more="", names=str(names)[1:-1]))
    pytester.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("secret", "names"),
    [
        ("HF_TOKEN", ["HF_TOKEN"]),
        ("hf-token", ["HF_TOKEN"]),
        ("my_own", ["my_own"]),
        *((name, list(names)) for name, names in TEMPLATES.items()),
    ],
)
def test_a_secret_brings_the_variables_that_are_called_like_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, secret: str, names: list[str]
) -> None:
    for name in {"WITHHELD", "HF_TOKEN", *names}:
        monkeypatch.setenv(name, "1")
    isolation = Isolation(Batch(), tmp_path, LocalOptions())
    without, with_secret = Environment(), Environment(secrets=(secret,))
    assert isolation.variables(with_secret).keys() - isolation.variables(without).keys() == set(names)
    assert set(names).isdisjoint(isolation.limits(with_secret, tmp_path)["variables"])


def test_secrets_reach_functions_by_name_and_as_objects(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "WITHHELD"):
        monkeypatch.setenv(name, "1")
    more = (
        ', secrets=["huggingface-secret", modal.Secret.from_name("openai-secret"), modal.Secret.from_dict({"X": "1"})]'
    )
    pytester.makepyfile(
        "import modal\n" + textwrap.dedent(INHERITS.format(more=more, names="'HF_TOKEN', 'OPENAI_API_KEY'"))
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_the_page_lists_what_is_inherited_and_what_secrets_bring() -> None:
    page = PAGE.read_text()
    assert [name for name in INHERITED if f"`{name}`" not in page] == []
    rows = [f"| `{secret}` | {', '.join(f'`{name}`' for name in names)} |" for secret, names in TEMPLATES.items()]
    assert [row for row in rows if row not in page] == []


# Without isolation


@pytest.mark.parametrize("value", ["off", "False"])
def test_isolation_can_be_turned_off(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("EXPERIMENT", "7")
    tests = """
        def test_it(read): assert int(read) == 7
    """
    params = ("open(file).read()", "os.environ['EXPERIMENT']", "__import__('file' + 'lock') and 7")
    reader(pytester, tests, params=params)
    result = pytester.runpytest("-o", f"modal_local_isolation={value}")
    result.assert_outcomes(passed=3)
    mode = "local mock mode, on this machine, without isolation (modal_local_isolation = off)"
    assert_lines(result.outlines, [f"modal: {mode}: 3 calls for 3 tests"])


@pytest.mark.parametrize(
    ("ini", "what", "remedy"),
    [
        (
            "modal_local_isolation = never",
            "modal_local_isolation = 'never' is not valid",
            "set it to off, or remove it",
        ),
        (
            "modal_local_env = A=1",
            "modal_local_env = 'A=1' is not valid",
            "write names or patterns, such as WANDB_*, one per line; env= sets values",
        ),
        (
            "modal_local_env =\n  GOOD\n  A, B",
            "modal_local_env = 'A, B' is not valid",
            "write names or patterns, such as WANDB_*, one per line; env= sets values",
        ),
    ],
)
def test_an_ini_that_is_not_valid_is_a_usage_error(pytester: pytest.Pytester, ini: str, what: str, remedy: str) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert_lines(result.errlines, [f"ERROR: {what}", "  where: tox.ini", f"  what to do: {remedy}"], consecutive=True)


def test_a_result_from_without_isolation_is_not_reused_with_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        """
        import pytest

        def variable():
            import os
            return os.environ["ONLY_HERE"]

        @pytest.mark.modal_gpu(function=variable)
        def test_it(modal_result): assert modal_result == "set"
        """
    )
    monkeypatch.setenv("ONLY_HERE", "set")
    off = ("-o", "modal_local_isolation=off", "--modal-resume")
    pytester.runpytest(*off).assert_outcomes(passed=1)
    result = pytester.runpytest(*off)
    result.stdout.fnmatch_lines(["*1 of 1 call reused from earlier runs*"])
    pytester.runpytest("--modal-resume").assert_outcomes(errors=1)
