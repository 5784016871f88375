"""Refusals: what of a function can't travel, and what of pytest a container does not have."""

from __future__ import annotations

import types

from pytest_modal.code.local_code import PYTESTS_AND_OURS
from pytest_modal.code.variables import held_variable
from pytest_modal.remote import standins
from pytest_modal.wording import three_parts


class UnshippableError(Exception):
    """Something can't travel; the message says why, where it is and what to do.

    Attributes
    ----------
    what : str
        What the function does, its name left out: "uses ...".
    where : str
        ``path:line``, or empty for the function itself.
    """

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.where, self.remedy = what, where, remedy

    def about(self, name: str, location: str) -> str:
        """Return the message for a function."""
        return three_parts(f"{name} {self.what}", self.where or location, self.remedy)


def check_use(module: str, name: str | None) -> None:
    """Refuse what a container does not have of pytest and of this plugin, before anything is sent."""
    if module == "pytest" and name in standins.NAMES:
        return
    shown = f"{module}.{name}" if name else module
    had = ", ".join(f"pytest.{each}" for each in standins.NAMES)
    remedy = f"return data from the function and use {shown} in the test; a container has {had}"
    raise UnshippableError(f"uses {shown!r}, which a container does not have", "", remedy)


def refuse_variables(what: str, value: object, where: str, *, asked: bool = False) -> None:
    """Refuse a value that holds what an environment variable of this machine says; see `held_variable`."""
    if (name := held_variable(value, asked=asked)) is not None:
        remedy = "read the variable in the function's body, and give the container one by secrets= or env="
        raise UnshippableError(f"{what} the value of the environment variable {name}", where, remedy)


def is_fixture(value: object) -> bool:
    """Whether a value is a fixture of pytest."""
    # Before pytest 8.4 a fixture is a function.
    kind = type(value)
    return kind.__name__ == "FixtureFunctionDefinition" or (
        kind is types.FunctionType and hasattr(value, "_pytestfixturefunction")
    )


def refuse_fixture(value: object, name: str) -> None:
    """Refuse a fixture that is used as a value."""
    if is_fixture(value):
        what = f"uses the fixture {name!r} directly instead of requesting it"
        raise UnshippableError(what, "", "name the fixture as a parameter, as in pytest")


def is_of_pytest(value: object) -> bool:
    """Whether a value is a fixture, a mark or a module of pytest or of this plugin: none of them is in a container."""
    if isinstance(value, types.ModuleType):
        return value.__name__.partition(".")[0] in PYTESTS_AND_OURS
    return is_fixture(value) or type(value).__module__.partition(".")[0] in PYTESTS_AND_OURS
