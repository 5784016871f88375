"""The environment of the templates of the pages: all that they put out is escaped, and control codes are shown."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pytest_modal.report.html.marks import icon
from pytest_modal.wording import safe

if TYPE_CHECKING:
    import jinja2

PACKAGE = "pytest_modal.report.html"


@cache
def environment(package: str = PACKAGE) -> jinja2.Environment:
    """Return the environment of the templates of a package, which may extend and import those of this one.

    There is one of each: a page that is made again has its templates compiled already.
    """
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(each) for each in dict.fromkeys([package, PACKAGE])]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["icon"] = icon
    return made


def _shown(value: object) -> object:
    """Return what a template puts out: of text all control codes and marks of direction are shown."""
    if type(value) is str:
        return safe(value)
    # Text is escaped in a third of the time that other values take.
    return str(value) if type(value) in (int, float) else value
