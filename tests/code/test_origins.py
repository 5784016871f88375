"""Compiled modules of the project: seen wherever they are imported, unless the program goes on without them."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from pathlib import Path

import pytest

from pytest_modal.code.shipping import Shipper, ShippingError

SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a compiled module beside its files, and one in its package; neither can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "__init__.py").write_text("VERSION = 1\n")
    for name in ("kernels", "kit/fast"):
        (tmp_path / f"{name}{SUFFIX}").touch()
    return tmp_path


def ship(project: Path, source: str, local_packages: tuple[str, ...] = ()) -> tuple[str, ...]:
    (project / "functions.py").write_text(source)
    module = importlib.import_module("functions")
    return Shipper(project).ship(module.answer, "answer", local_packages).optional


@pytest.mark.parametrize(
    ("statement", "module", "file"),
    [
        ("import kernels", "kernels", f"kernels{SUFFIX}"),
        ("from kernels import add", "kernels", f"kernels{SUFFIX}"),
        ("import kit.fast", "kit.fast", f"kit/fast{SUFFIX}"),
        ("from kit import VERSION, fast", "kit.fast", f"kit/fast{SUFFIX}"),
        ("from kit.fast import add", "kit.fast", f"kit/fast{SUFFIX}"),
    ],
)
def test_a_compiled_local_module_is_refused_at_its_import(
    project: Path, statement: str, module: str, file: str
) -> None:
    with pytest.raises(ShippingError) as raised:
        ship(project, f"def answer():\n    x = 1\n    {statement}\n    return x\n")
    assert str(raised.value).splitlines() == [
        f"answer uses the local module {module!r}, but {file} is not Python source, so it can't travel (PM105)",
        "  where: functions.py:3",
        f'  what to do: ship it as it is: local_packages=["{module.partition(".")[0]}"]',
    ]


def test_it_travels_as_it_is_with_local_packages(project: Path) -> None:
    ship(project, "def answer():\n    import kernels\n    return kernels\n", ("kernels",))


def test_one_that_the_program_goes_on_without_is_left_out(project: Path) -> None:
    source = "def answer():\n    try:\n        import kernels\n    except ImportError:\n        kernels = None\n"
    assert ship(project, source) == ("kernels",)


def test_names_of_packages_with_source_are_no_modules(project: Path) -> None:
    ship(project, "def answer():\n    from kit import VERSION\n    import json.decoder\n    return VERSION, json\n")
