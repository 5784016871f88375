"""Content of files that differ between two runs, where they are still as they were."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pytest_modal.report.comparison.model import FileChange, Run
from pytest_modal.report.comparison.tables import table_change
from pytest_modal.report.differences import ArtifactChange
from pytest_modal.report.html.images import Image, Images, is_figure, read_artifact
from pytest_modal.report.record import ArtifactEntry

_MOST = 1 << 25  # bytes of a table
_Content = TypeVar("_Content", bytes, Image)


def compare_file(change: ArtifactChange, before: Run, after: Run, images: Images) -> FileChange:
    """Return a file that differs with its content in both runs, as far as that is a table or an image."""
    name = change.path.lower()
    if name.endswith((".csv", ".csv.gz")) and change.was and change.now:
        return _table(change, before, after)
    # No browser shows a PDF as an image.
    if not is_figure(name) or name.endswith(".pdf"):
        return FileChange(change)

    def embedded(entry: ArtifactEntry, root: Path) -> Image:
        image = images.image(entry, root)
        if image is None:
            raise ValueError("all figures together are too large for a page")
        return image

    was, now, note = _sides(change, before, after, embedded)
    return FileChange(change, was=was, now=now, note=note)


def _table(change: ArtifactChange, before: Run, after: Run) -> FileChange:
    was, now, note = _sides(change, before, after, lambda entry, root: read_artifact(entry, root, _MOST))
    if was is None or now is None:
        return FileChange(change, note=note)
    try:
        return FileChange(change, table_change(_text(change.path, was), _text(change.path, now)))
    except (ValueError, OSError, EOFError) as error:
        return FileChange(change, note=f"can't be compared by rows: {error}")


def _sides(
    change: ArtifactChange, before: Run, after: Run, read: Callable[[ArtifactEntry, Path], _Content]
) -> tuple[_Content | None, _Content | None, str]:
    """Return the content of a file in both runs, and why there is none."""
    found, notes = list[_Content | None](), list[str]()
    for entry, run, which in ((change.was, before, "earlier"), (change.now, after, "later")):
        content = None
        try:
            content = None if entry is None else read(entry, run.root)
        except FileNotFoundError:
            notes.append(f"that of the {which} run is gone")
        except OSError as error:
            notes.append(f"that of the {which} run can't be read: {error.strerror}")
        except ValueError as error:
            notes.append(f"that of the {which} run can't be shown: {error}")
        found.append(content)
    return found[0], found[1], "; ".join(notes)


def _text(path: str, content: bytes) -> str:
    if path.lower().endswith(".gz"):
        with gzip.open(io.BytesIO(content)) as stream:
            content = stream.read(_MOST)
    return content.decode("utf-8-sig")
