"""Records as text: valid JSON in UTF-8 whatever tests and containers have put into them."""

from __future__ import annotations

import json
import math
from typing import Any

from pytest_modal.report.record import Record

LONGEST_TEXT = 200_000  # characters
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Return data without what JSON or UTF-8 don't have; a text that is too long is cut, with a note in it."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(str(key)): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        half = LONGEST_TEXT // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half:,} characters are left out here ...\n{text[-half:]}"
    # Half of a surrogate pair, as names of files may have it, is not UTF-8.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def encoded(record: Record) -> str:
    """Return a record as JSON, with a line for each entry."""
    fields = [f'"{name}": {_field(value)}' for name, value in record.items()]
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _field(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(map(_json.encode, value)) + "\n]"
    return _json.encode(value)
