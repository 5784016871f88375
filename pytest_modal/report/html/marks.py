"""Marks of outcomes: a word, a tone and a shape, so that nothing is said by colour alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Literal

from pytest_modal.report.html.text import cut
from pytest_modal.wording import safe

if TYPE_CHECKING:
    from markupsafe import Markup

_WORD = 30  # characters of a word that is not known
Tone = Literal["good", "bad", "warn", "quiet", "accent"]


@dataclass(frozen=True)
class Mark:
    """How an outcome is shown; `icon` is the id of a shape of the page."""

    word: str
    tone: Tone
    icon: str

    def __html__(self) -> Markup:
        """Return it as templates put it out."""
        return self._drawn

    @cached_property
    def _drawn(self) -> Markup:
        from markupsafe import Markup

        words = safe(self.tone), icon(self.icon), safe(self.word)
        return Markup('<span class="mark {}">{}{}</span>').format(*words)


# In the order in which they are read: what needs attention is first.
TESTS = {
    "failed": Mark("failed", "bad", "cross"),
    "error": Mark("error", "bad", "bang"),
    "not finished": Mark("not finished", "warn", "dots"),
    "xpassed": Mark("xpassed", "warn", "bang"),
    "passed": Mark("passed", "good", "tick"),
    "xfailed": Mark("xfailed", "quiet", "ring"),
    "skipped": Mark("skipped", "quiet", "dash"),
}
_CALLS = {
    "ok": Mark("ok", "good", "tick"),
    "skipped": Mark("skipped", "quiet", "dash"),
    "xfailed": Mark("xfailed", "quiet", "ring"),
    "timed out": Mark("timed out", "bad", "clock"),
    "missing": Mark("missing", "warn", "dots"),
    "dependency failed": Mark("dependency failed", "warn", "dash"),
}
_VERDICTS = {
    "PASS": Mark("pass", "good", "tick"),
    "FAIL": Mark("fail", "bad", "cross"),
    "CHANGED": Mark("changed", "warn", "bang"),
    "INCONCLUSIVE": Mark("inconclusive", "warn", "dots"),
    "IMPROVED": Mark("improved", "accent", "up"),
    "ACCEPTED": Mark("accepted", "warn", "tick"),
    "NO BASELINE": Mark("no baseline", "quiet", "dash"),
}


def of_test(outcome: str) -> Mark:
    """Return the mark of a test's outcome."""
    return TESTS.get(outcome) or Mark(cut(outcome, _WORD), "warn", "dots")


def of_call(status: str) -> Mark:
    """Return the mark of a call's status."""
    return _CALLS.get(status) or Mark(cut(status, _WORD), "bad", "cross")


def of_gate(verdict: str, *, failed: bool) -> Mark:
    """Return the mark of a gate: one may fail whatever its verdict, as in a strict run."""
    mark = _VERDICTS.get(verdict) or Mark(cut(verdict.lower(), _WORD), "quiet", "dash")
    return Mark(mark.word, "bad", "cross") if failed else mark


def in_order(marks: Iterable[Mark]) -> list[Mark]:
    """Return marks of tests in the order in which they are read; unknown ones are last."""
    known = [*TESTS.values()]
    return sorted(marks, key=lambda mark: (known.index(mark) if mark in known else len(known), mark.word))


@cache
def icon(name: str) -> Markup:
    """Return a shape of the page."""
    from markupsafe import Markup

    shape = '<svg class="icon" aria-hidden="true" focusable="false" viewBox="0 0 16 16"><use href="#icon-{}"/></svg>'
    return Markup(shape).format(safe(name))
