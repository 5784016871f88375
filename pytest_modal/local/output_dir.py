"""Directories of tests, and the index of what was written in them.

Each test has one directory, ``<root>/<module path>/<class>/<test[param]>``. No test's directory is, or lies
inside, another's: emptying one before its test writes can only delete what that same test wrote earlier.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, TypedDict

import pytest

from pytest_modal.store.files import delete, safe_name, short_digest, write_json, write_text
from pytest_modal.wording import shown_path, three_parts

__tracebackhide__ = True  # in all of the module: what went wrong is at the line of the test

DEFAULT_ROOT = "modal_output"
INDEX = "artifacts.json"
GITIGNORE = ".gitignore"
RUN = "run.json"
COMMENT = "summary.md"  # the body of a comment on a pull request
METRICS = "metrics.txt"  # for GitLab
RUNS, ITEMS = "runs", "items"  # directories: of the records of runs; within it, of per-item results of gates


class Artifact(TypedDict):
    """One file that a test wrote, as ``artifacts.json`` lists it."""

    path: str  # relative to the output root, with forward slashes
    test: str  # its node id
    kind: str  # "csv", "figure", "json"; "file" when the test wrote it by itself
    bytes: int


ARTIFACTS = pytest.StashKey[list[Artifact]]()  # of an item: what its test saved
_WRITTEN = pytest.StashKey[list[Artifact]]()  # of the config: what all tests of the run left
_NOT_WRITTEN = pytest.StashKey[list[str]]()  # of the config: what of the run's own files could not be written
SCRATCH = pytest.StashKey[Path]()  # of an item: the root while what its test writes isn't kept
_DIRECTORY = pytest.StashKey[Path]()
_LAYOUT = pytest.StashKey[dict[pytest.Item, str]]()


def written_of(config: pytest.Config) -> list[Artifact]:
    """Return the list of what all tests of the run have left."""
    return config.stash.setdefault(_WRITTEN, [])


def not_written_of(config: pytest.Config) -> list[str]:
    """Return lines about files of the run that could not be written: warnings of its summary."""
    return config.stash.setdefault(_NOT_WRITTEN, [])


def output_root(config: pytest.Config) -> Path:
    """Return the directory under which every test has its own; nothing is created."""
    root = chosen_root(config.rootpath, config.getoption("modal_output_dir", None), config.getini("modal_output_dir"))
    if root == config.rootpath:
        what = "the output directory is the rootdir, where emptying a test's directory could delete sources"
        where = f"{root}, from --modal-output-dir, PYTEST_MODAL_OUTPUT_DIR or the ini modal_output_dir"
        remedy = f"set it to a directory below the rootdir, such as {DEFAULT_ROOT}"
        raise pytest.UsageError(three_parts(what, where, remedy))
    return root


def chosen_root(rootdir: Path, option: str | None, ini: object) -> Path:
    """Return the output root of a project.

    Parameters
    ----------
    option, ini : str or None
        The command line and the ini ``modal_output_dir``, as far as they are given.
    """
    # Precedence: command line, environment variable, ini, default.
    chosen = option or os.environ.get("PYTEST_MODAL_OUTPUT_DIR") or ini or DEFAULT_ROOT
    return Path(os.path.normpath(rootdir / Path(str(chosen)).expanduser()))


def root_of(item: pytest.Item) -> Path:
    """Return the directory below which a test's own lies."""
    return item.stash.get(SCRATCH, None) or output_root(item.config)


def _wanted(item: pytest.Item) -> PurePosixPath:
    """Return the directory, relative to the root, that the test has unless another one is in its way."""
    module = item.path.with_suffix("")
    # Beside a package `test_x/`, the module `test_x.py` keeps its suffix: its test `test_a` must not share a
    # directory with the module `test_x/test_a.py`.
    if item.path.suffix != ".py" or module.exists():
        module = item.path
    names = PurePath(os.path.relpath(module, item.config.rootpath)).parts
    outer = pytest.Session | pytest.Directory | pytest.File
    inner = [node.name for node in item.listchain() if not isinstance(node, outer)]
    return PurePosixPath(*map(safe_name, (*names, *inner)))


def _ignores_case(directory: Path) -> bool:
    return Path(str(directory).swapcase()).exists()


def _layout(session: pytest.Session) -> dict[pytest.Item, str]:
    """Return the directory of every selected test, relative to the root: none equal, none inside another."""
    fold = str.casefold if _ignores_case(session.config.rootpath) else str
    wanted = {item: _wanted(item) for item in session.items}
    heads = {path.parent for path in wanted.values()}
    taken = {fold(str(path)) for head in heads for path in (head, *head.parents)}
    layout = {}
    # Sorted, so that shuffling changes nothing. Equal node ids stay in their order, the same in all workers.
    for item, path in sorted(wanted.items(), key=lambda entry: entry[0].nodeid):
        free, attempt = str(path), 0
        while fold(free) in taken:
            attempt += 1
            free = f"{path}-{short_digest(f'{item.nodeid} {attempt}')}"
        taken.add(fold(free))
        layout[item] = free
    return layout


def make_root(root: Path) -> None:
    """Make the directory of all tests, if it isn't there, and have git ignore it."""
    # What goes wrong here does so again where the test's own directory is made, and is explained there.
    with contextlib.suppress(OSError):
        root.mkdir(parents=True)
        write_text(root / GITIGNORE, "# Made by pytest-modal\n*\n")


def _make_empty(directory: Path, root: Path, test: str) -> None:
    try:
        for step in (directory, *directory.parents):
            if step.is_relative_to(root) and step != root and step.is_symlink():
                raise OSError(f"{step} is a symbolic link: its target is not deleted")
        directory.mkdir(parents=True, exist_ok=True)
        for entry in directory.iterdir():
            delete(entry)
    except OSError as error:
        what = f"the output directory of the test can't be emptied: {error}"
        remedy = "remove what is in the way, make it writable, or set another --modal-output-dir"
        raise OSError(three_parts(what, f"{test}, {directory}", remedy)) from None


def artifact_of(path: Path, root: Path, test: str, kind: str) -> Artifact:
    return Artifact(path=path.relative_to(root).as_posix(), test=test, kind=kind, bytes=path.stat().st_size)


def own_directory(item: pytest.Item) -> Path:
    """Return the directory of a test, empty."""
    if _LAYOUT not in item.session.stash:
        item.session.stash[_LAYOUT] = _layout(item.session)
    root = root_of(item)
    if SCRATCH not in item.stash:
        make_root(root)
    directory = root / item.session.stash[_LAYOUT][item]
    _make_empty(directory, root, item.nodeid)
    item.stash[_DIRECTORY] = directory
    item.stash[ARTIFACTS] = []
    return directory


def collect(item: pytest.Item) -> list[Artifact]:
    """Return the files that are in the test's directory now, saved or written by hand; [] if it has none."""
    if _DIRECTORY not in item.stash:
        return []
    root = root_of(item)
    kinds = {artifact["path"]: artifact["kind"] for artifact in item.stash[ARTIFACTS]}
    found = []
    for folder, _, names in os.walk(item.stash[_DIRECTORY]):
        for path in (Path(folder, name) for name in names):
            kind = kinds.get(path.relative_to(root).as_posix(), "file")
            # A thread of the test may still be running, and delete a file meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if not path.is_symlink():
                    found.append(artifact_of(path, root, item.nodeid, kind))
    return sorted(found, key=lambda artifact: artifact["path"])


def write_index(root: Path, entries: Iterable[Mapping[str, Any]]) -> Path | None:
    """Write ``artifacts.json``: what this run wrote, and nothing from earlier runs.

    Of a test that ran again, only the files of its last run exist. A run that wrote nothing leaves the index as it
    is; then None is returned.
    """
    artifacts = {entry["path"]: dict(entry) for entry in entries if (root / entry["path"]).is_file()}
    if not artifacts:
        return None
    index = root / INDEX
    write_json(index, {"schema": 1, "artifacts": [artifacts[path] for path in sorted(artifacts)]})
    return index


def read_index(config: pytest.Config) -> tuple[list[Artifact], str]:
    """Return what ``artifacts.json`` lists of this run, and the path of that file as it is shown."""
    index = output_root(config) / INDEX
    listed: list[Artifact] = []
    if written_of(config) and index.exists():
        listed = json.loads(index.read_text(encoding="utf-8"))["artifacts"]
    return listed, shown_path(index, config.rootpath)
