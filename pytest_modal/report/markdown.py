"""Markdown for GitHub and GitLab: foreign text that means nothing in it, and pages of a limited size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_modal.wording import count, safe, safe_line

_LONGEST_LINE = 300
# What ends a code span or a cell of a table, or changes what ends it.
_NOT_IN_SPANS = re.compile(r"[`|\\]")
# Both forges look for mentions, issues and links in the rendered page too, but not in code.
_ENTITIES = re.compile(r"[^A-Za-z0-9 ,;/%=?'-]")
_URL = re.compile(r"https://[A-Za-z0-9._~/?=&%+:-]+")


def code(text: object, limit: int = _LONGEST_LINE) -> str:
    """Return text of unknown origin as code on one line, also for a cell of a table.

    Code has no links, mentions, references to issues, images or HTML.
    """
    line = safe_line(text, limit)
    if _NOT_IN_SPANS.search(line):
        return tag(line, limit)
    if not line.strip():
        return ""
    return f"`{line}`" if line == line.strip() else f"` {line} `"


def tag(text: object, limit: int = _LONGEST_LINE) -> str:
    """Return the same as HTML: for what a span can't hold, and inside of tags, where markdown is none."""
    return f"<code>{_ENTITIES.sub(lambda match: f'&#{ord(match[0])};', safe_line(text, limit))}</code>"


def block(text: str, *, lines: int, limit: int) -> str:
    """Return text of unknown origin as a block of code, without the middle of what is too long."""
    shown = safe(_cut(text.strip("\n"), lines, limit))
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}"


def _cut(text: str, lines: int, limit: int) -> str:
    every = [line if len(line) <= limit else f"{line[:limit]} ..." for line in text.splitlines()]
    if len(every) <= lines:
        return "\n".join(every)
    first = 2 * lines // 3
    left_out = count(len(every) - lines, "line")
    return "\n".join([*every[:first], f"... {left_out} ...", *every[len(every) - lines + first :]])


def link(name: str, url: str | None) -> str:
    """Return a name, as a link where the address is an ordinary one."""
    return f"[{code(name)}]({url})" if url and _URL.fullmatch(url) else code(name)


def row(cells: Iterable[str]) -> str:
    """Return a row of a table, of cells that are markdown."""
    return f"| {' | '.join(cells)} |"


def heading(columns: Sequence[str], right: Sequence[int] = ()) -> list[str]:
    """Return the first two lines of a table; the columns `right` are numbers."""
    return [row(columns), f"|{'|'.join('--:' if index in right else '---' for index in range(len(columns)))}|"]


@dataclass
class Section:
    """A part of a page, of which items may be left out.

    Attributes
    ----------
    head, foot : str
        What is always there, before and after the items.
    items : list of str
        Rows of a table, blocks: each is there as a whole, or not at all.
    between : str
        What stands between two items, and after the head.
    unit : str
        What an item is, in the note about those that are left out.
    """

    head: str
    items: list[str] = field(default_factory=list)
    foot: str = ""
    between: str = "\n"
    unit: str = "line"

    def text(self, shown: int) -> str:
        """Return the section with its first items."""
        left_out = len(self.items) - shown
        note = f"_{count(left_out, self.unit)} left out: the page has a limit of size._" if left_out else ""
        head = [self.head] if self.head else []
        parts = [self.between.join([*head, *self.items[:shown]]), note, self.foot]
        return "\n\n".join(part for part in parts if part)


def page(sections: Sequence[Section], limit: int) -> str:
    """Return a page of at most `limit` bytes; the first sections get what space there is, the others their heads.

    Where not even those fit, the sections from one on are missing, and nothing is cut in the middle.
    """
    shown = [0] * len(sections)
    sizes = [_bytes(section.text(0)) + 2 for section in sections]
    fitting = len(sections)
    while fitting and sum(sizes[:fitting]) > limit:
        fitting -= 1
    left = limit - sum(sizes[:fitting])
    for number, section in enumerate(sections[:fitting]):
        for item in section.items:
            if (size := _bytes(item) + len(section.between)) > left:
                break
            left -= size
            shown[number] += 1
    texts = [section.text(number) for section, number in zip(sections[:fitting], shown[:fitting], strict=True)]
    return "".join(f"{text}\n\n" for text in texts if text)


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "backslashreplace"))
