"""The rules in prose: for ``pytest-modal explain`` and for the documentation page, from the same texts."""

from __future__ import annotations

from pytest_modal.checks.rule import Rule
from pytest_modal.checks.rules import RULES

PAGE = """# Rules

Found before a GPU is paid for: by pytest when it plans the batch, and by `pytest-modal check PATH...` on any Modal
script. This page is made by `pytest-modal explain --markdown`; `pytest-modal explain PM101` shows one rule.

A rule is silenced on its line by a comment, `# modal: allow PM101, PM102`. In pytest the ini `modal_rules` decides,
one rule a line, which are errors, warnings or off:

```ini
[pytest]
modal_rules =
    PM107 = off
    PM108 = error
```

| code | level | finds |
|---|---|---|
"""


def explain(rule: Rule) -> str:
    """Return a rule as text for the terminal."""
    parts = [
        f"{rule.code} ({rule.level}): {rule.title}",
        f"Why\n\n{_indented(rule.why)}",
        f"Instead\n\n{_indented(rule.instead)}",
        f"Bad\n\n{_indented(rule.bad)}",
        f"Good\n\n{_indented(rule.good)}",
        f"To allow it on one line: # modal: allow {rule.code}",
    ]
    return "\n\n".join(parts) + "\n"


def overview() -> str:
    """Return one line for each rule."""
    return "".join(f"{rule.code}  {rule.level:<8} {rule.title}\n" for rule in RULES.values())


def markdown() -> str:
    """Return the documentation page."""
    table = "".join(
        f"| [{rule.code}](#{rule.code.lower()}) | {rule.level} | {rule.title} |\n" for rule in RULES.values()
    )
    return PAGE + table + "".join(f"\n{_section(rule)}" for rule in RULES.values())


def _section(rule: Rule) -> str:
    return (
        f"## {rule.code}\n\n**{rule.title}** ({rule.level}).\n\n{rule.why.strip()}\n\n{rule.instead.strip()}\n\n"
        f"Bad:\n\n```python\n{rule.bad.strip()}\n```\n\nGood:\n\n```python\n{rule.good.strip()}\n```\n"
    )


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.strip().splitlines())
