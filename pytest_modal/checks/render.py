"""Findings as text, as JSON, and as annotations of GitHub."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

from pytest_modal.checks.finding import Finding
from pytest_modal.checks.rules import RULES
from pytest_modal.wording import safe, safe_line

FORMATS = ("text", "json", "github")


def render(findings: Sequence[Finding], lines: Mapping[str, Sequence[str]], style: str) -> str:
    """Return the findings in one of `FORMATS`; `lines` are those of each file."""
    if style == "json":
        return json.dumps([finding.as_json() for finding in findings], indent=2) + "\n"
    if style == "github":
        return "".join(map(_annotation, findings))
    return "".join(f"{as_text(finding, lines.get(finding.path))}\n" for finding in findings)


def as_text(finding: Finding, source: Sequence[str] | None) -> str:
    """Return a finding with its source line, a caret, and what to do."""
    lines = [safe_line(f"{finding.path}:{finding.line}:{finding.column}: {finding.code} {finding.message}", 2_000)]
    if source is not None:
        line = source[finding.line - 1].rstrip()
        end = finding.end_column if finding.end_line == finding.line else len(line) + 1
        before = "".join(each if each == "\t" else " " for each in safe(line[: finding.column - 1]))
        marked = safe(line[finding.column - 1 : end - 1])
        lines += [f"    {safe(line)}", f"    {before}{'^' * max(1, len(marked))}"]
    return "\n".join([*lines, f"  what to do: {safe(finding.hint)}", ""])


def _annotation(finding: Finding) -> str:
    kind = RULES[finding.code].level
    text = _escaped(f"{finding.message}. What to do: {finding.hint}")
    place = f"file={_escaped(finding.path, property=True)},line={finding.line},col={finding.column}"
    return f"::{kind} {place},title={finding.code}::{text}\n"


def _escaped(text: str, *, property: bool = False) -> str:
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property else text


def write(text: str) -> None:
    """Write to standard output, in whatever encoding it has."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
