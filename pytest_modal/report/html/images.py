"""Figures of tests as data URIs, as many as a page can carry."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from pytest_modal.committed import read_regular
from pytest_modal.report.record import ArtifactEntry

MOST_FIGURE = 32 << 20  # bytes of one that is embedded
ALL_FIGURES = 200_000_000  # bytes of all that are: a browser still opens such a page
_VIEW_BOX = re.compile(rb"\bviewBox=[\"']\s*[-\d.]+[\s,]+[-\d.]+[\s,]+(\d+(?:\.\d+)?)[\s,]+(\d+(?:\.\d+)?)")
# Suffix: media type, and how such a file begins. A browser runs no script of an image, an SVG's neither.
_KINDS = {
    ".png": ("image/png", b"\x89PNG\r\n\x1a\n"),
    ".svg": ("image/svg+xml", b""),
    ".jpg": ("image/jpeg", b"\xff\xd8"),
    ".jpeg": ("image/jpeg", b"\xff\xd8"),
    ".webp": ("image/webp", b"RIFF"),
    ".gif": ("image/gif", b"GIF8"),
    ".pdf": ("application/pdf", b"%PDF"),
}


@dataclass(frozen=True)
class Image:
    """A figure as a data URI; `width` and `height` in pixels where the file says so."""

    media: str
    data: str
    width: int | None = None
    height: int | None = None

    @property
    def uri(self) -> str:
        """The data URI."""
        return f"data:{self.media};base64,{self.data}"

    @property
    def is_document(self) -> bool:
        """Whether it is to be saved and opened elsewhere: no browser shows it as an image."""
        return self.media == "application/pdf"


class Images:
    """Makes images of figures, until all of them are too large for one page."""

    def __init__(self, most: int = ALL_FIGURES) -> None:
        self._left = most

    def image(self, artifact: ArtifactEntry, root: Path) -> Image | None:
        """Return a figure; None if it no longer fits.

        Raises
        ------
        OSError, ValueError
            As `read_artifact`; it is not what its suffix says.
        """
        suffix = suffix_of(artifact["path"])
        content = read_artifact(artifact, root, MOST_FIGURE)
        media, begins = _KINDS[suffix]
        if not content.startswith(begins) or (suffix == ".svg" and b"<svg" not in content[:65536]):
            raise ValueError(f"it is not a file of the kind {suffix}")
        if len(content) > self._left:
            return None
        self._left -= len(content)
        return Image(media, base64.b64encode(content).decode(), *_extent(content, suffix))


def suffix_of(path: str) -> str:
    """Return the suffix of a file's name in lower case."""
    return f".{path.rpartition('/')[2].lower().rpartition('.')[2]}"


def is_figure(path: str) -> bool:
    """Return whether a file is a figure, by its name."""
    return suffix_of(path) in _KINDS


def path_of(artifact: ArtifactEntry, root: Path) -> Path:
    """Return where a file is.

    Raises
    ------
    ValueError
        That is not below the output root.
    """
    path = root.joinpath(*artifact["path"].split("/"))
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError("it is not in the output directory")
    return path


def read_artifact(artifact: ArtifactEntry, root: Path, most: int) -> bytes:
    """Return the content of a file, as the run has left it.

    Raises
    ------
    OSError
        It can't be read, or is larger than `most` bytes.
    ValueError
        It is not below the output root, or has changed.
    """
    content = read_regular(path_of(artifact, root), most)
    if artifact["sha256"] and hashlib.sha256(content).hexdigest() != artifact["sha256"]:
        raise ValueError("it has changed since the run")
    return content


def _extent(content: bytes, suffix: str) -> tuple[int | None, int | None]:
    """Return the width and height of a figure, so that the page has room for it before it is decoded."""
    if suffix == ".png" and len(content) > 24:
        return struct.unpack(">II", content[16:24])
    if suffix == ".svg" and (found := _VIEW_BOX.search(content[:65536])):
        return round(float(found[1])) or None, round(float(found[2])) or None
    return None, None
