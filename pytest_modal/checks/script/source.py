"""Python source, read without running it; an error says in a sentence what can't be read."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from pytest_modal.committed import read_regular

LARGEST = 4 * 1024 * 1024  # bytes; generated tables are larger, scripts that people write are not
_ALLOW = re.compile(r"#\s*modal:\s*allow\s+(PM\d+(?:[\s,]+PM\d+)*)", re.IGNORECASE)


class UnreadableError(Exception):
    """A file can't be checked; the message says why and what to do."""


@dataclass(eq=False)
class Source:
    """A file as text and as a syntax tree.

    Attributes
    ----------
    path : str
        As the user wrote it; it is shown.
    location : Path or None
        The file, if there is one: the files beside it are local code.
    """

    path: str
    text: str
    tree: ast.Module
    location: Path | None = None

    @functools.cached_property
    def lines(self) -> list[str]:
        """The lines as Python counts them."""
        return self.text.split("\n")

    def position(self, node: ast.expr | ast.stmt | ast.arg | ast.alias) -> tuple[int, int, int, int]:
        """Return line, column, end line and end column of a node, from 1, in characters."""
        last, end = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return node.lineno, self._column(node.lineno, node.col_offset), last, self._column(last, end)

    def allowed(self, line: int) -> set[str]:
        """Return the codes that ``# modal: allow`` names on a line."""
        match = _ALLOW.search(self.lines[line - 1]) if line <= len(self.lines) else None
        return set(re.split(r"[\s,]+", match[1].upper())) if match else set()

    def _column(self, line: int, offset: int) -> int:
        text = self.lines[line - 1]
        return offset + 1 if text.isascii() else len(text.encode()[:offset].decode(errors="replace")) + 1


def read_text(path: Path) -> str:
    """Return the text of a Python file, in the encoding that it declares.

    Raises
    ------
    UnreadableError
        It is missing, too large, a notebook, or not text.
    """
    if path.suffix == ".ipynb":
        raise UnreadableError("this is a notebook: export it first, with jupyter nbconvert --to script")
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise UnreadableError(f"{size / 2**20:.1f} MiB of source; files above {LARGEST >> 20} MiB are not checked")
        raw = read_regular(path, LARGEST, flags=0)
    except OSError as error:
        raise UnreadableError(f"can't be read: {error.strerror or error}") from None
    try:
        return importlib.util.decode_source(raw)
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise UnreadableError(f"not text in the encoding that it declares ({error}); save it as UTF-8") from None


def parse(text: str, path: str, location: Path | None = None) -> Source:
    """Parse Python source.

    Raises
    ------
    UnreadableError
        It is not Python.
    """
    try:
        with warnings.catch_warnings():
            # Warnings of the parser, such as invalid escapes, are reported by linters.
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        is_notebook = text.lstrip().startswith("{") and '"cells"' in text
        remedy = "; this seems to be a notebook: export it first" if is_notebook else ""
        raise UnreadableError(f"line {error.lineno or 1}: not valid Python: {error.msg}{remedy}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnreadableError(f"not valid Python: {error or type(error).__name__}") from None
    return Source(path, text, tree, location)
