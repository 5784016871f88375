"""Figures, tables and gates of tests in the reports of pytest-html, where that plugin writes one."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pytest_modal.gate.ledger import REPORTED, unpack
from pytest_modal.local.output_dir import Artifact, output_root
from pytest_modal.report.previews import PREVIEWED, gate_preview, table_preview
from pytest_modal.wording import safe_line

_IMAGES = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "gif": "gif", "webp": "webp"}
_LARGEST = 20 * 1024 * 1024  # bytes of an image that is embedded
_MOST = 50  # files of a test


class HtmlHooks:
    """Registered where pytest-html writes its report, in the controller under pytest-xdist.

    Parameters
    ----------
    extras : module
        pytest-html's ``extras``.
    """

    def __init__(self, config: pytest.Config, extras: Any) -> None:
        self._root = output_root(config)
        self._extras = extras
        self._embed = bool(config.getoption("self_contained_html"))
        # As pytest-html has it.
        self._beside = Path.cwd().joinpath(Path(os.path.expandvars(config.getoption("htmlpath"))).expanduser()).parent

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = [*self._gates(report), *self._files(vars(report).get("modal_artifacts", []))]
        if found and _can_be_named(report.nodeid):
            vars(report)["extras"] = [*vars(report).get("extras", []), *found]

    def _gates(self, report: pytest.TestReport) -> Iterator[Any]:
        if gates := unpack(vars(report).get(REPORTED, "[]")):
            rows = [(each.gate, each.verdict, each.result, each.shown_notes) for each in gates]
            yield self._extras.html(gate_preview(rows))

    def _files(self, artifacts: Sequence[Artifact]) -> Iterator[Any]:
        for artifact in artifacts[:_MOST]:
            path = self._root / artifact["path"]
            # Another test may have deleted it, or the disk may be gone.
            try:
                yield from self._file(artifact, path)
            except OSError as error:
                yield self._extras.html(f"<p>{escape(safe_line(artifact['path']))}: {escape(safe_line(error))}</p>")

    def _file(self, artifact: Artifact, path: Path) -> Iterator[Any]:
        name, suffix = safe_line(path.name), path.suffix.lower().removeprefix(".")
        where = quote(Path(os.path.relpath(path, self._beside)).as_posix().encode("utf-8", "surrogateescape"))
        # What a test has drawn as SVG can't run scripts as an image; files of another origin are not shown.
        kind = "svg+xml" if suffix == "svg" and artifact["kind"] == "figure" else _IMAGES.get(suffix)
        if kind is not None and not self._embed:
            yield self._extras.image(where, name, f"image/{kind}", suffix)
        elif kind is not None and artifact["bytes"] <= _LARGEST:
            yield self._extras.image(base64.b64encode(path.read_bytes()).decode(), name, f"image/{kind}", suffix)
        elif suffix == "csv":
            with path.open(encoding="utf-8", errors="replace", newline="") as file:
                text = file.read(PREVIEWED)
                yield self._extras.html(table_preview(name, text, complete=not file.read(1)))
        if not self._embed:
            yield self._extras.url(where, escape(name))
        elif kind is None and suffix != "csv":
            yield self._extras.html(f"<p>{escape(safe_line(artifact['path']))}</p>")


def _can_be_named(nodeid: str) -> bool:
    """Whether pytest-html can name files after a test: it ends pytest with an error where it can't."""
    try:
        nodeid.encode("utf-8").decode("unicode_escape")
    except UnicodeError:
        return False
    return True


def watch_html(config: pytest.Config) -> None:
    """Add to the report of pytest-html from now on, if one is written by this process."""
    plugin: Any = config.pluginmanager.get_plugin("html")
    if hasattr(config, "workerinput") or not (hasattr(plugin, "extras") and config.getoption("htmlpath", None)):
        return
    if not config.pluginmanager.has_plugin("pytest_modal_html"):
        config.pluginmanager.register(HtmlHooks(config, plugin.extras), "pytest_modal_html")
