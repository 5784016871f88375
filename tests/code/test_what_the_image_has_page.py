"""The page on what the image has says what is derived: each row of its tables, with what is installed here faked."""

from __future__ import annotations

import re
import sys
import sysconfig
import types
from pathlib import Path
from typing import NamedTuple

import pytest
from faked_installs import install

from pytest_modal.batch.calls import Batch, Call
from pytest_modal.batch.environment import Environment
from pytest_modal.code.package_names import wrong_package
from pytest_modal.code.requirements import refusal, requirements_of
from pytest_modal.code.shipping import Shipper

PAGE = Path(__file__).parents[2] / "docs" / "what-the-image-has.md"


class Row(NamedTuple):
    """A row of a table."""

    code: str
    here: str
    image: str


ROWS = [
    Row(*(cell.strip() for cell in line.strip("|").split("|")))
    for line in PAGE.read_text().splitlines()
    if line.startswith("| `")
]
FILES = {
    "pillow": ["PIL/__init__.py"],
    "PyYAML": ["yaml/__init__.py"],
    "protobuf": ["google/protobuf/__init__.py", "google/protobuf/message.py"],
    "googleapis-common-protos": ["google/api/__init__.py"],
    "opencv-python": ["cv2/__init__.py"],
    "scikit-learn": ["sklearn/__init__.py"],
}
# "NAME VERSION from URL, and more"
INSTALLED = re.compile(r"(?P<name>[\w-]+) (?P<version>\d[\w.+]*)(?: from (?P<url>\S+?)(?:, (?P<more>.+))?)?$")


def origin(url: str, more: str) -> dict[str, object]:
    """Return what an installer would note."""
    if url.startswith("git+"):
        vcs = {"vcs": "git", "commit_id": "0123abc"}
        subdirectory = {"subdirectory": more.removeprefix("directory ")} if more else {}
        return {"url": url.removeprefix("git+"), "vcs_info": vcs, **subdirectory}
    if url.endswith(".whl"):
        return {"url": url, "archive_info": {"hash": "sha256=00ff"}}
    return {"url": url, "dir_info": {"editable": True} if more else {}}


def put(here: str, site: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this machine have what a row says."""
    if here == "a file of the project":
        (project / "helpers.py").write_text("")
    elif here == "a file beside the packages":
        (site / "put_by_hand.py").write_text("")
    elif here == "a module that was made at run time":
        monkeypatch.setitem(sys.modules, "made_up", types.ModuleType("made_up"))
    else:
        for each in re.split(r", (?=[\w-]+ \d)", here) if here else []:
            found = INSTALLED.fullmatch(each)
            assert found is not None, each
            name, version, url, more = found.groups()
            noted = origin(url, more or "") if url else None
            install(site, name, version, *FILES.get(name, [f"{name}/__init__.py"]), direct_url=noted)


def put_package(row: Row, site: Path, project: Path) -> Row:
    """Make this machine have a local package; return the row with what else it has, and code that needs nothing."""
    for name in ("__init__.py", "part.py"):
        (project / "kit").mkdir(exist_ok=True)
        (project / "kit" / name).touch()
    here = row.here
    if imports := re.match(r"(kit[.\w]*) imports (\w+)(?:; )?", here):
        name = "kit/part.py" if imports[1] == "kit.part" else "kit/__init__.py"
        (project / name).write_text(f"import {imports[2]}\n")
        here = here.removeprefix(imports[0])
    required = re.match(r'kit-proj requires ([^;]+(?:; \w+ == ".+?")?)(?:; )?', here)
    origin = {"url": project.as_uri(), "dir_info": {"editable": True}}
    install(site, "kit-proj", "1.0", direct_url=origin, requires=[required[1]] if required else [])
    if required:
        here = here.removeprefix(required[0])
    return Row("`pass`", here, row.image)


def test_there_are_fifty_rows() -> None:
    assert len(ROWS) >= 50


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.code} {row.here}" for row in ROWS])
def test_a_row_is_right(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, project = tmp_path / "site-packages", tmp_path / "project"
    for directory in (site, project):
        directory.mkdir()
    asked: tuple[str, ...] = ()
    if row.code.startswith("`local_packages="):
        asked, row = tuple(re.findall('"(.+?)"', row.code)), put_package(row, site, project)
    lines = row.code.strip("`").split("; ")
    body = "".join(f"    {line}\n" for line in lines)
    (project / "suite_of_a_row.py").write_text(f"def body():\n{body}")
    monkeypatch.setattr(sys, "path", [str(project), str(site), *map(sysconfig.get_path, ("stdlib", "platstdlib"))])
    # What is really installed is not there for the row.
    for name in set(re.findall(r"\w+", row.code)) & {*sys.modules} - {*sys.stdlib_module_names}:
        monkeypatch.delitem(sys.modules, name)
    put(row.here, site, project, monkeypatch)
    module = __import__("suite_of_a_row")
    del sys.modules["suite_of_a_row"]

    wrong = next(filter(None, map(wrong_package, asked)), None)
    shipped = Shipper(project).ship(module.body, "body", asked)
    call = Call("key", "body", shipped, {}, Environment(local_packages=asked))
    refused, packages = refusal(call), requirements_of(Batch([call]), call.environment).packages
    refused = wrong[1] if wrong is not None else refused

    quoted = set(re.findall("`(.+?)`", row.image))
    if row.image.startswith("refused: "):
        assert refused is not None
        assert all(each in refused for each in quoted)
        assert set(packages) <= {"numpy"}
    else:
        assert refused is None
        assert set(packages) == quoted
        assert bool(quoted) != row.image.startswith("nothing")
        if "of any version" in row.image:
            assert not any("==" in each for each in packages)
