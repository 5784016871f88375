"""Tracebacks of functions that travelled show the user's own lines."""

from __future__ import annotations

import types
from typing import Any

import cloudpickle
import pytest
from literal_lines import assert_lines

SUITE = """
    import pytest_modal

    def inner(x):
        return [1 / x for x in [x]]

    @pytest_modal.fixture
    def broken():
        return inner(0)

    def test_broken(broken): pass
"""


def _names_no_file(code: types.CodeType) -> tuple[Any, ...]:
    build, fields = cloudpickle.cloudpickle._code_reduce(code)
    return build, tuple("<dynamic-code>" if field == code.co_filename else field for field in fields)


@pytest.mark.parametrize("newest", [False, True], ids=["as installed", "as of 3.1.3"])
def test_a_remote_traceback_shows_file_line_and_source_with_every_cloudpickle(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, newest: bool
) -> None:
    if newest:
        monkeypatch.setitem(cloudpickle.Pickler.dispatch_table, types.CodeType, _names_no_file)
    path = pytester.makepyfile(test_it=SUITE)
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    assert_lines(
        result.outlines,
        [
            f'  File "{path}", line 8, in broken',
            "    return inner(0)",
            f'  File "{path}", line 4, in inner',
            "    return [1 / x for x in [x]]",
            "ZeroDivisionError: division by zero",
        ],
    )
    result.stdout.no_fnmatch_line("*dynamic-code*")
