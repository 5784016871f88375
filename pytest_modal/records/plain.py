"""Records as text: valid JSON in UTF-8 and without secrets, whatever tests and containers have put into them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, Protocol, cast

from pytest_modal.report.record import Record

LONGEST_TEXT = 200_000  # characters
_TOGETHER = 1_000  # entries in which secrets are looked for at once; their text is in memory meanwhile
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False)


class Secrets(Protocol):
    """What finds secrets and masks them."""

    def are_in(self, text: str) -> bool: ...
    def plain(self, value: Any) -> Any: ...


def plain_record(record: Record, secrets: Secrets, write: Callable[[str], object]) -> Record:
    """Return a record as it may be shown, and write it as JSON: pieces of text, with a line for each entry."""
    fields: dict[str, Any] = {}
    for name, value in record.items():
        write(f'{"," if fields else "{"}\n"{name}": ')
        if isinstance(value, list) and value and isinstance(value[0], dict):
            fields[name] = []
            for at in range(0, len(value), _TOGETHER):
                entries, texts = _plain_entries(value[at : at + _TOGETHER], secrets)
                fields[name] += entries
                write((",\n" if at else "[\n") + ",\n".join(texts))
            write("\n]")
        else:
            fields[name], text = _plain_entry(value, secrets)
            write(text)
    write("\n}\n")
    return cast(Record, fields)


def _plain_entries(entries: list[Any], secrets: Secrets) -> tuple[list[Any], list[str]]:
    # Nearly always all are fine as they are, and there may be thousands.
    texts = [text for each in entries if (text := _encoded(each)) is not None]
    if len(texts) == len(entries) and not secrets.are_in("\n".join(texts)):
        return entries, texts
    plain = [_plain_entry(each, secrets) for each in entries]
    return [entry for entry, _ in plain], [text for _, text in plain]


def _plain_entry(entry: Any, secrets: Secrets) -> tuple[Any, str]:
    if (text := _encoded(entry)) is not None and not secrets.are_in(text):
        return entry, text
    entry = _plain(secrets.plain(entry))
    return entry, _json.encode(entry)


def _encoded(entry: Any) -> str | None:
    """Return an entry as JSON; None if that is too long or not UTF-8, or has numbers that JSON does not have."""
    try:
        text = _json.encode(entry)
        if not text.isascii():
            text.encode()
    except ValueError:
        return None
    return text if len(text) <= LONGEST_TEXT else None


def _plain(value: Any) -> Any:
    """Return data without what JSON or UTF-8 don't have; a text that is too long is cut, with a note in it."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {_text(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _text(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        half = LONGEST_TEXT // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half:,} characters are left out here ...\n{text[-half:]}"
    # Half of a surrogate pair, as names of files may have it, is not UTF-8.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
