"""Source lines in reports are those that were sent: no file that a function names is read on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NAMES = """
    import warnings
    import pytest_modal

    PATH = {path!r}

    @pytest_modal.fixture(packages=[])
    def raises():
        exec(compile("\\n\\n1/0  # of the function", PATH, "exec"))

    @pytest_modal.fixture(packages=[])
    def asserts():
        exec(compile("\\n\\nassert False", PATH, "exec"))

    @pytest_modal.fixture(packages=[])
    def warns():
        warnings.warn_explicit("careful", UserWarning, PATH, 3)
        return 1

    def test_raises(raises): pass
    def test_asserts(asserts): pass
    def test_warns(warns): pass
"""


@pytest.fixture
def private(tmp_path: Path) -> Path:
    path = tmp_path / "private.toml"
    path.write_text("one\ntwo\ntoken = 'a secret'\n")
    return path


@pytest.mark.parametrize("style", ["auto", "short", "line", "native"])
def test_no_line_of_a_local_file_is_shown(pytester: pytest.Pytester, private: Path, style: str) -> None:
    pytester.makepyfile(NAMES.replace("{path!r}", repr(str(private))))
    result = pytester.runpytest_subprocess(f"--tb={style}", "--junitxml=report.xml", "-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=1, failed=1, errors=1, warnings=1)
    assert "a secret" not in result.stdout.str() + (pytester.path / "report.xml").read_text()
    if style == "auto":
        result.stdout.fnmatch_lines(
            [
                '*test_no_line_of_a_local_file_is_shown.py", line 8, in raises',
                '    exec(compile("\\n\\n1/0  # of the function", PATH, "exec"))',
                f'  File "{private}", line 3, in <module>',
                "ZeroDivisionError: division by zero",
            ]
        )
    result.stdout.fnmatch_lines([f"*<{private}>:3: UserWarning: careful"])


def test_a_file_of_the_project_that_was_not_sent_is_not_read(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(unsent="one = 1\ntwo = 2\nTOKEN = 'a secret'\n")
    for name in ("/shipped/unsent.py", "/shipped/../unsent.py", str(pytester.path / "unsent.py")):
        pytester.makepyfile(NAMES.replace("{path!r}", repr(name)))
        result = pytester.runpytest_subprocess("-p", "no:randomly", timeout=60)
        result.assert_outcomes(passed=1, failed=1, errors=1, warnings=1)
        assert "a secret" not in result.stdout.str()


def test_a_pipe_that_a_frame_names_is_not_opened(pytester: pytest.Pytester, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    pytester.makepyfile(NAMES.replace("{path!r}", repr(str(tmp_path / "pipe.py"))))
    pytester.runpytest_subprocess(timeout=60).assert_outcomes(passed=1, failed=1, errors=1, warnings=1)
