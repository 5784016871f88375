"""From what a function imports to what its image installs."""

from __future__ import annotations

import importlib.metadata
import json
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_modal.code import requirements
from pytest_modal.code.requirements import derive
from pytest_modal.code.shipping import Shipper, imported_by


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """What is installed changes in these tests."""
    caches = (requirements._owners, requirements._holds, requirements._version)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def install(site: Path, name: str, version: str, *modules: str, direct_url: object = None) -> None:
    """Put a distribution where Python finds it."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    files = []
    for module in modules:
        path = site / module
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        files.append(f"{module},,\n")
    (info / "RECORD").write_text("".join(files))
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of installed distributions."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


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


def test_what_is_not_installed_here_is_unpinned_and_said() -> None:
    found = derive(["sklearn.metrics", "no_such_package_here.sub"])
    assert found.packages == ("no_such_package_here", "scikit-learn")
    assert [note.split(" is not")[0] for note in found.notes] == ["no_such_package_here", "scikit-learn"]


def test_a_model_library_brings_the_library_that_computes() -> None:
    assert derive(["transformers"]).packages == (
        f"torch=={version('torch')}",
        f"transformers=={version('transformers')}",
    )


def test_namespace_packages_belong_to_who_has_the_module(site: Path) -> None:
    install(site, "acme-one", "1.0", "acme/one/__init__.py")
    install(site, "acme-two", "2.0", "acme/two.py")
    assert derive(["acme.one.deep"]).packages == ("acme-one==1.0",)
    assert derive(["acme.two"]).packages == ("acme-two==2.0",)


def test_what_was_installed_from_elsewhere(site: Path) -> None:
    vcs = {"url": "https://example.org/lib.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}
    install(site, "from-git", "0.1.dev3", "from_git.py", direct_url=vcs)
    install(site, "mine", "1.0", "mine.py", direct_url={"url": "file:///home/me", "dir_info": {"editable": True}})
    found = derive(["from_git", "mine"])
    assert found.packages == ("from-git @ git+https://example.org/lib.git@abc123",)
    assert found.notes == (
        "mine is installed from a local directory, which an image can't install: ship it with local_packages=",
    )


def test_local_modules_are_no_packages(site: Path) -> None:
    (site / "helpers_of_mine.py").write_text("")
    assert derive(["helpers_of_mine"]) == requirements.Requirements()


def test_imports_of_a_body_and_its_inner_functions() -> None:
    namespace: dict[str, object] = {}
    source = """
def f():
    import a.b as c, os
    from d.e import g, h
    from . import sibling
    from .x import y
    def inner():
        return [(lambda: __import__("skipped"))() for _ in range(3)]
    class K:
        def m(self):
            from k import l
"""
    exec(source, namespace)
    function = namespace["f"]
    assert isinstance(function, types.FunctionType)
    found = imported_by(function.__code__) - {"a.b.b"}  # how an `as` reads in bytecode
    assert found == {"a.b", "os", "d.e", "d.e.g", "d.e.h", "k", "k.l"}


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
    assert derive(shipped.imports).packages == (
        f"numpy=={version('numpy')}",
        f"safetensors=={version('safetensors')}",
    )
