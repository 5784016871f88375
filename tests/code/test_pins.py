"""From where a distribution was installed here to how an image installs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from faked_installs import install

from pytest_modal.batch.calls import Node, Part, ShippedFunction
from pytest_modal.batch.environment import Environment
from pytest_modal.batch.requirements import Requirements
from pytest_modal.code.pins import Pin, needs_git, pin
from pytest_modal.code.requirements import derive, refusal
from pytest_modal.run.modal.app import image

GIT = {"vcs": "git", "commit_id": "0123abc", "requested_revision": "main"}
REPOSITORY = "git+https://example.org/lib.git@0123abc"
SDIST = "https://example.org/lib-1.0.tar.gz"
NOTE = "lib comes from {} without the credentials that its URL has here: the image needs access"


def node(module: str, **declared: Any) -> Node:
    """Return a function that imports a module."""
    travels = (Part("package", module, "helpers.py", 3),)
    return Node(
        "key",
        "body",
        ShippedFunction("key", "body", "suite.py:1", b"", (module,), travels=travels),
        {},
        Environment(**declared),
    )


def test_what_came_from_an_index_is_pinned(site: Path) -> None:
    install(site, "Some.Lib", "2.1.0", "some_lib.py")
    assert pin("Some.Lib") == Pin("some-lib==2.1.0")


@pytest.mark.parametrize("label", ["+cpu", "+cu126", "+git.0123abc"])
def test_a_local_label_has_no_place_in_a_pin(site: Path, label: str) -> None:
    install(site, "lib", f"2.1.0{label}", "lib.py")
    assert pin("lib") == Pin("lib==2.1.0")


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ({"url": "https://example.org/lib.git", "vcs_info": GIT}, REPOSITORY),
        (
            {"url": "https://example.org/lib.git", "vcs_info": GIT, "subdirectory": "python/lib"},
            f"{REPOSITORY}#subdirectory=python/lib",
        ),
        ({"url": "ssh://git@example.org/lib.git", "vcs_info": GIT}, "git+ssh://git@example.org/lib.git@0123abc"),
        ({"url": SDIST, "archive_info": {}}, SDIST),
        ({"url": SDIST}, SDIST),
        ({"url": SDIST, "archive_info": {"hash": "sha256=00ff"}}, f"{SDIST}#sha256=00ff"),
        ({"url": SDIST, "archive_info": {"hashes": {"md5": "11", "sha256": "00ff"}}}, f"{SDIST}#sha256=00ff"),
        (
            {"url": f"{SDIST}#egg=lib", "archive_info": {"hash": "sha256=00ff"}, "subdirectory": "python"},
            f"{SDIST}#sha256=00ff&subdirectory=python",
        ),
    ],
)
def test_what_came_from_a_url_comes_from_there(site: Path, origin: object, expected: str) -> None:
    install(site, "lib", "1.0.dev3", "lib.py", direct_url=origin)
    assert pin("lib") == Pin(f"lib @ {expected}")
    assert derive(["lib"]) == Requirements((f"lib @ {expected}",))
    assert needs_git(f"lib @ {expected}") == ("git+" in expected)


@pytest.mark.parametrize(
    ("origin", "url", "requirement"),
    [
        ({"url": "https://me:s3cret@example.org/lib.git", "vcs_info": GIT}, "https://example.org/lib.git", REPOSITORY),
        ({"url": "https://s3cret@example.org/lib.git", "vcs_info": GIT}, "https://example.org/lib.git", REPOSITORY),
        (
            {"url": "ssh://git:s3cret@example.org/lib.git", "vcs_info": GIT},
            "ssh://git@example.org/lib.git",
            "git+ssh://git@example.org/lib.git@0123abc",
        ),
        ({"url": "https://a:s3cret@example.org:8443/lib.whl"}, *["https://example.org:8443/lib.whl"] * 2),
        ({"url": "https://example.org/lib.whl?token=s3cret"}, *["https://example.org/lib.whl"] * 2),
        ({"url": "https://${USER}:${s3cret}@example.org/lib.whl"}, *["https://example.org/lib.whl"] * 2),
    ],
)
def test_credentials_stay_here(site: Path, origin: object, url: str, requirement: str) -> None:
    install(site, "lib", "1.0", "lib.py", direct_url=origin)
    assert derive(["lib"]) == Requirements((f"lib @ {requirement}",), (NOTE.format(url),))


ON_THIS_MACHINE: Mapping[str, tuple[Any, str]] = {
    "editable": (
        {"url": "file:///home/me/lib", "dir_info": {"editable": True}},
        "is installed as editable from a directory of this machine",
    ),
    "directory": ({"url": "file:///home/me/lib", "dir_info": {}}, "is installed from a directory of this machine"),
    "wheel": (
        {"url": "file:///home/me/lib-1.0-py3-none-any.whl", "archive_info": {"hash": "sha256=00ff"}},
        "is installed from a file of this machine, lib-1.0-py3-none-any.whl",
    ),
    "sdist": (
        {"url": "file:///home/me/lib-1.0.tar.gz", "archive_info": {}},
        "is installed from a file of this machine, lib-1.0.tar.gz",
    ),
    "repository": (
        {"url": "file:///home/me/lib.git", "vcs_info": GIT},
        "is installed from a file of this machine, lib.git",
    ),
    "mercurial": (
        {"url": "https://example.org/lib", "vcs_info": {"vcs": "hg", "commit_id": "0123abc"}},
        "is installed from a repository of hg, which images can't install",
    ),
}


@pytest.mark.parametrize(("origin", "why"), ON_THIS_MACHINE.values(), ids=ON_THIS_MACHINE)
def test_what_came_from_this_machine_is_asked_of_no_index(site: Path, origin: object, why: str) -> None:
    install(site, "my-lib", "1.0", "mylib/__init__.py", direct_url=origin)
    assert derive(["mylib"]) == Requirements((), (f"my-lib is left out: it {why}",))
    assert refusal(node("mylib.score")) == (
        f"body imports 'mylib', but my-lib {why}\n"
        "  where: helpers.py:3\n"
        '  what to do: ship it as it is: local_packages=["mylib"]; or name one that an index has: packages=[...]'
    )
    for declared in ({"local_packages": ("mylib",)}, {"packages": ("mylib",)}, {"image": object()}):
        assert refusal(node("mylib.score", **declared)) is None
    assert derive(["mylib"], ("mylib",)) == Requirements()


@pytest.mark.parametrize("listed", [["mylib"], []])
def test_editable_packages_are_found_however_they_were_built(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: list[str]
) -> None:
    source = tmp_path / "checkout" / "src"
    source.mkdir(parents=True)
    (source / "mylib.py").write_text("")
    monkeypatch.syspath_prepend(source)
    url = (tmp_path / "checkout").as_uri()
    install(site, "my-lib", "1.0", direct_url={"url": url, "dir_info": {"editable": True}}, top_level=listed)
    message = refusal(node("mylib.score"))
    assert message is not None
    assert message.startswith("body imports 'mylib', but my-lib is installed as editable from a directory")


class Recorder:
    """An image that notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.done.append((name, *args)) or self


@pytest.mark.parametrize(
    ("package", "before"), [("lib==1.0", []), (f"lib @ {REPOSITORY}", [("apt_install", "git")])], ids=["index", "git"]
)
def test_git_is_installed_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, package: str, before: list[tuple[str, ...]]
) -> None:
    made = Recorder()
    monkeypatch.setattr("modal.Image.debian_slim", lambda python_version: made)
    image(Environment(), Requirements((package,)))
    assert made.done == [*before, ("uv_pip_install", package)]
