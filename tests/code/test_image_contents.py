"""What an image would have, told from what is installed on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from faked_installs import install

from pytest_modal.batch.calls import Batch
from pytest_modal.batch.environment import Environment
from pytest_modal.code.image_contents import contents_of, directories_outside, modules_outside, with_dependencies

REQUIRES = {
    "my-app": ["My_Lib>=1", 'tool; extra == "cli"', "my.lib[fast]; extra == 'all'", 'win; sys_platform == "win32"'],
    "my-lib": ['kernels; extra == "fast"', 'drivers; platform_system == "Linux"', 'mine; python_version > "3"'],
    "mine": ["my-app", "not a requirement", 'both; extra == "x" or python_version > "3"'],
    **dict.fromkeys(("tool", "win", "kernels", "drivers", "both", "cv2-of-somebody", "opencv-python"), ()),
}
APP = {"my-app", "my-lib", "mine", "drivers", "both"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of installed distributions."""
    site = tmp_path / "site-packages"
    for name, requires in REQUIRES.items():
        install(site, name, "1.0", f"{name.replace('-', '_')}.py", requires=requires)
    monkeypatch.syspath_prepend(site)
    return site


@pytest.mark.parametrize(
    ("requirements", "contents"),
    [
        (["my-app"], APP),
        (["My.App==1.0"], APP),
        (["my-app @ git+https://example.org/my-app.git"], APP),
        (["my-app[cli]"], {*APP, "tool"}),
        (["my-app", "my-app[all]"], {*APP, "kernels"}),
        (["tool", "win"], {"tool", "win"}),
        # Variants of one package stand for each other.
        (["opencv-python-headless"], {"opencv-python-headless", "opencv-python", "numpy"}),
        (["unheard-of"], {"unheard-of"}),
    ],
)
@pytest.mark.usefixtures("site")
def test_a_distribution_brings_what_its_metadata_says(requirements: list[str], contents: set[str]) -> None:
    assert with_dependencies(requirements) == contents


def test_what_is_not_installed_here_brings_what_is_known_of_it() -> None:
    assert {"torch", "safetensors", "pyyaml"} < with_dependencies(["deepspeed", "peft"])


@pytest.mark.parametrize(
    ("environment", "is_known"),
    [
        (Environment(), True),
        (Environment(packages=("tool", "./downloads/my_app-1.0-py3-none-any.whl")), True),
        (Environment(packages=("opencv-python-headless",)), True),
        (Environment(packages=("peft",)), True),
        (Environment(packages=("unheard-of",)), False),
        (Environment(packages=("git+https://example.org/my-app.git",)), False),
        (Environment(packages=("-r requirements.txt",)), False),
        (Environment(image="an image"), False),
    ],
    ids=lambda case: str(case.packages or case.image) if isinstance(case, Environment) else "",
)
@pytest.mark.usefixtures("site")
def test_only_what_is_known_restricts(environment: Environment, is_known: bool) -> None:
    contents = contents_of(Batch(), environment)
    assert (contents is not None) == is_known
    if contents is not None:
        assert {"modal", "aiohttp", "cloudpickle", "pip"} < contents, "every container has them"
        assert "pytest" not in contents


@pytest.mark.parametrize(
    ("contents", "local_packages", "outside"),
    [
        ([], (), ["apart", "google", "shared"]),
        (["protobuf"], (), ["apart", "google.api", "google.cloud", "shared"]),
        (["protobuf", "storage"], (), ["apart", "google.api", "shared"]),
        (["storage", "api"], (), ["apart", "google.protobuf", "shared"]),
        (["storage", "one"], (), ["apart", "google.api", "google.protobuf", "shared.two"]),
        (["two", "api", "storage", "protobuf"], ("apart",), ["shared.one"]),
    ],
)
def test_modules_that_only_other_distributions_have_are_outside(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    contents: Iterable[str],
    local_packages: tuple[str, ...],
    outside: list[str],
) -> None:
    site = tmp_path / "site-packages"
    install(site, "protobuf", "1.0", "google/protobuf/__init__.py", "google/protobuf/internal/api.py")
    install(site, "storage", "1.0", "google/cloud/storage/__init__.py", "google/cloud/storage/client.py")
    install(site, "api", "1.0", "google/api/__init__.py", "google/cloud/storage/__init__.py")
    install(site, "one", "1.0", "shared/__init__.py", "shared/one.py")
    install(site, "two", "1.0", "shared/__init__.py", "shared/two.py", "typing.py")
    install(site, "Apart", "1.0", "apart/__init__.py")
    (site / "of_nobody.py").touch()
    monkeypatch.setattr(sys, "path", [str(site)])
    assert sorted(modules_outside(contents, local_packages)) == outside


def test_the_directories_of_editable_installs_are_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, there = tmp_path / "site-packages", tmp_path / "sibling"
    install(site, "Sibling", "1.0", direct_url={"url": there.as_uri(), "dir_info": {"editable": True}})
    monkeypatch.setattr(sys, "path", [str(site)])
    assert directories_outside([]) == [str(there)]
    assert directories_outside(["sibling"]) == []
