"""Files of tests as the page shows them: figures embedded as they are, previews of tables and of JSON."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from pytest_modal.committed import read_regular
from pytest_modal.report.html.tables import Table, preview
from pytest_modal.report.html.text import Passage, Texts, cut, size
from pytest_modal.report.record import ArtifactEntry

MOST_FIGURE = 32 << 20  # bytes of a figure that is embedded
MOST_JSON = 4_000
_NAME = 300
_VIEW_BOX = re.compile(rb"\bviewBox=[\"']\s*[-\d.]+[\s,]+[-\d.]+[\s,]+(\d+(?:\.\d+)?)[\s,]+(\d+(?:\.\d+)?)")
# Suffix: media type, and how such a file begins.
FIGURES = {
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


@dataclass(frozen=True)
class File:
    """A file of a test; `note` says why it can't be shown."""

    name: str
    path: str
    size: str
    is_figure: bool
    image: Image | None = None
    table: Table | None = None
    text: Passage | None = None
    note: str = ""

    @property
    def is_shown(self) -> bool:
        """Whether there is something to look at."""
        return self.image is not None or self.table is not None


def show_file(artifact: ArtifactEntry, root: Path, texts: Texts) -> File:
    """Return a file as it is shown; one that is missing, changed or broken has a note."""
    name = artifact["path"].rpartition("/")[2].lower()
    suffix = ".csv" if name.endswith(".csv.gz") else f".{name.rpartition('.')[2]}"
    shown = cut(artifact["path"].rpartition("/")[2], _NAME), cut(artifact["path"], _NAME), size(artifact["bytes"])
    is_figure = suffix in FIGURES
    image = table = text = None
    try:
        if is_figure:
            image = _image(_read(artifact, root, MOST_FIGURE), suffix)
        elif suffix == ".csv":
            table = preview(_path(artifact, root), compressed=name.endswith(".gz"), digest=artifact["sha256"])
        elif suffix == ".json" and artifact["bytes"] <= MOST_JSON:
            text = texts.passage(_read(artifact, root, MOST_JSON).decode("utf-8", "replace"))
    except FileNotFoundError:
        return File(*shown, is_figure, note="The file is missing.")
    except OSError as error:
        return File(*shown, is_figure, note=f"The file can't be shown: {error.strerror or error}.")
    except ValueError as error:
        return File(*shown, is_figure, note=f"The file can't be shown: {error}.")
    return File(*shown, is_figure, image, table, text)


def _path(artifact: ArtifactEntry, root: Path) -> Path:
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


def _read(artifact: ArtifactEntry, root: Path, most: int) -> bytes:
    content = read_regular(_path(artifact, root), most)
    if artifact["sha256"] and hashlib.sha256(content).hexdigest() != artifact["sha256"]:
        raise ValueError("it has changed since the run")
    return content


def _image(content: bytes, suffix: str) -> Image:
    media, begins = FIGURES[suffix]
    if not content.startswith(begins) or (suffix == ".svg" and b"<svg" not in content[:65536]):
        raise ValueError(f"it is not a file of the kind {suffix}")
    return Image(media, base64.b64encode(content).decode(), *_extent(content, suffix))


def _extent(content: bytes, suffix: str) -> tuple[int | None, int | None]:
    """Return the width and height of a figure, so that the page has room for it before it is decoded."""
    if suffix == ".png" and len(content) > 24:
        return struct.unpack(">II", content[16:24])
    if suffix == ".svg" and (found := _VIEW_BOX.search(content[:65536])):
        return round(float(found[1])) or None, round(float(found[2])) or None
    return None, None
