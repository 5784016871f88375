"""Replies of containers, read without unpickling: a result is bytes, an exception is text.

Modal's client unpickles whatever a container sends, and so would run on this machine what a hostile one wants. Its
public interface hands out no result that is not unpickled. So two functions are replaced while sessions are open, in
the module that reads replies and nothing else: a `modal.Dict` of the project's stays as it is.
"""

from __future__ import annotations

import contextlib
import importlib
import pickletools
from collections.abc import Iterator
from typing import Any, NoReturn

from pytest_modal.remote.data import CorruptDataError
from pytest_modal.run.modal.errors import InfrastructureError

_REPLACED = ("deserialize", "deserialize_data_format")
_FRAMING = ("PROTO", "FRAME", "MEMOIZE")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_usual: list[dict[str, Any]] = []  # what was replaced, once for each session that is open


def bytes_in(pickled: bytes) -> bytes:
    """Return the bytes that are pickled; nothing is built or called, whatever else is there.

    Raises
    ------
    CorruptDataError
        Something else is pickled.
    """
    found: list[bytes] = []
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in _BYTES:
                found.append(bytes(argument or b""))
            elif opcode.name == "STOP" and len(found) == 1:
                return found[0]
            elif opcode.name not in _FRAMING:
                break
    except Exception:  # the parser takes what it gets for a pickle
        raise CorruptDataError("a container sent something that is not a reply: it was not read") from None
    raise CorruptDataError("a container sent something else than bytes in place of a reply: it was not unpickled")


@contextlib.contextmanager
def read_as_bytes() -> Iterator[None]:
    """Have Modal's client read replies as bytes for a while.

    Raises
    ------
    InfrastructureError
        This version of the client reads them in another way.
    """
    reader = _reader()
    if reader is None:
        raise _unknown_client()
    # Sessions of one run are open at a time: the last that ends puts back what the first has found.
    _usual.append({name: vars(reader)[name] for name in _REPLACED} if not _usual else _usual[0])
    vars(reader).update(deserialize=_no_exception, deserialize_data_format=_result)
    try:
        yield
    finally:
        before = _usual.pop()
        if not _usual:
            vars(reader).update(before)


def _reader() -> Any:
    """Return the module in whose functions the two are looked up; None where that is not known."""
    try:
        # Private names, in strings: no version promises them.
        reader, calls = map(importlib.import_module, ("modal._utils.function_utils", "modal._functions"))
        known = calls._process_result is reader._process_result
        used = {*reader._process_result.__code__.co_names, *reader._stream_function_call_data.__code__.co_names}
    except (ImportError, AttributeError):
        return None
    return reader if known and used.issuperset(_REPLACED) and vars(reader).keys() >= {*_REPLACED} else None


def _unknown_client() -> InfrastructureError:
    import modal

    what = f"Modal's client {modal.__version__} reads replies in a way that pytest-modal does not know: it may unpickle"
    remedy = "use a version of modal that this version of pytest-modal knows: pip install -U pytest-modal modal"
    return InfrastructureError("version", what, remedy)


def _result(data: bytes, data_format: int, client: object) -> bytes:
    from modal_proto import api_pb2

    if data_format != api_pb2.DATA_FORMAT_PICKLE:
        raise CorruptDataError("a container sent a reply in a format that its worker does not use: it was not read")
    return bytes_in(data)


def _no_exception(data: bytes, client: object) -> NoReturn:
    import modal

    # For this one, the client raises the remote traceback, which is text.
    raise modal.exception.DeserializationError("exceptions of containers are not unpickled")
