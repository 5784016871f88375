"""Requests that the client has sent again: of these it tells in its log alone, and waits them out."""

from __future__ import annotations

import contextlib
import logging
import re
from collections import Counter
from collections.abc import Iterator

_LOGGERS = ("modal-utils", "modal-client")  # of the client
_AGAIN = re.compile(r"Retryable failure (?:GRPCError\(<Status\.)?(?P<why>\w+)")


@contextlib.contextmanager
def counted(again: Counter[str]) -> Iterator[None]:
    """Count for a while what the client sends again.

    Parameters
    ----------
    again : Counter
        Takes why, and how often.
    """
    handler = _Handler(again)
    levels = {logger: logger.level for logger in map(logging.getLogger, _LOGGERS)}
    for logger in levels:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)  # its own handlers have a level of their own
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)
            logger.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, again: Counter[str]) -> None:
        super().__init__(logging.DEBUG)
        self._again = again

    def emit(self, record: logging.LogRecord) -> None:
        if found := _AGAIN.match(record.getMessage()):
            self._again[found["why"]] += 1
