"""Files of tests as the page shows them: figures embedded as they are, previews of tables and of JSON."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from pytest_modal.batch.quantities import size
from pytest_modal.report.html.images import Image, Images, is_figure, path_of, read_artifact, suffix_of
from pytest_modal.report.html.tables import Table, preview
from pytest_modal.report.html.text import Passage, Texts, cut
from pytest_modal.report.record import ArtifactEntry

MOST_JSON = 4_000
_NAME = 300


@dataclass(frozen=True)
class File:
    """A file of a test.

    Attributes
    ----------
    link : str
        The address of a figure that is not in the page, relative to the page.
    note : str
        Why it can't be shown.
    anchor : str
        The fragment that leads to it; empty without.
    """

    name: str
    path: str
    size: str
    is_figure: bool
    image: Image | None = None
    table: Table | None = None
    text: Passage | None = None
    link: str = ""
    note: str = ""
    anchor: str = ""

    @property
    def is_picture(self) -> bool:
        """Whether it is a figure that is seen in the page."""
        return self.image is not None and not self.image.is_document


class Files:
    """Shows the files of a run.

    Parameters
    ----------
    root : Path
        The output root, where they are.
    directory : Path
        Where the page is.
    """

    def __init__(self, root: Path, directory: Path, texts: Texts, images: Images) -> None:
        self._root, self._directory, self._texts, self._images = root, directory, texts, images

    def show(self, artifact: ArtifactEntry) -> File:
        """Return a file as it is shown; one that is missing, changed or broken has a note."""
        path = artifact["path"]
        name = cut(path.rpartition("/")[2], _NAME)
        file = File(name, cut(path, _NAME), size(artifact["bytes"]), is_figure(path))
        try:
            return self._filled(file, artifact)
        except FileNotFoundError:
            return replace(file, note="The file is missing.")
        except OSError as error:
            return replace(file, note=f"The file can't be shown: {error.strerror or error}.")
        except ValueError as error:
            return replace(file, note=f"The file can't be shown: {error}.")

    def _filled(self, file: File, artifact: ArtifactEntry) -> File:
        path, root = artifact["path"], self._root
        compressed = path.lower().endswith(".csv.gz")
        if file.is_figure:
            image = self._images.image(artifact, root)
            return replace(file, image=image) if image else replace(file, link=self._address(path_of(artifact, root)))
        if compressed or suffix_of(path) == ".csv":
            table = preview(path_of(artifact, root), compressed=compressed, digest=artifact["sha256"])
            return replace(file, table=table)
        if suffix_of(path) == ".json" and artifact["bytes"] <= MOST_JSON:
            text = read_artifact(artifact, root, MOST_JSON).decode("utf-8", "replace")
            return replace(file, text=self._texts.passage(text))
        return file

    def _address(self, path: Path) -> str:
        # A colon is quoted too: no name is taken for a scheme.
        return quote(Path(os.path.relpath(path, self._directory)).as_posix(), errors="surrogateescape")
