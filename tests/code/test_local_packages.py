"""Local packages travel as they are: source, compiled modules and data; caches and hidden files stay here."""

from __future__ import annotations

import importlib
import py_compile
import sys
from pathlib import Path

import pytest

from pytest_modal.code.keys import changed
from pytest_modal.code.local_packages import files_of
from pytest_modal.code.shipping import Shipper


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    for name in ("resources/__init__.py", "resources/data/table.bin", "resources/.key", "resources/__pycache__/x.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "resources/data/table.bin").write_bytes(b"\x00\xff")
    importlib.invalidate_caches()
    return tmp_path


def test_all_files_but_caches_and_hidden_ones_travel(project: Path) -> None:
    files = dict(files_of("resources") or ())
    assert sorted(files) == ["resources/__init__.py", "resources/data/table.bin"]
    assert files["resources/data/table.bin"].read_bytes() == b"\x00\xff"
    assert files_of("resources.missing") is None
    assert files_of("no_such_package.at_all") is None


def test_their_content_counts(project: Path) -> None:
    def parts() -> dict[str, str]:
        return dict(Shipper(project).ship(len, "length", ("resources",)).parts)

    before = parts()
    (project / "resources/.key").write_text("changed")
    assert parts() == before
    (project / "resources/data/table.bin").write_bytes(b"\x00\xfe")
    assert changed(before, parts()) == ["local package resources/data/table.bin changed"]


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
