"""A result that other versions of packages have made: it is said, or computed again."""

from __future__ import annotations

import shutil
import sysconfig
import venv
from pathlib import Path

import pytest
from faked_installs import install
from literal_lines import assert_lines

SUITE = """
    import pytest_modal

    @pytest_modal.fixture
    def answer():
        import answers
        return answers.VALUE

    @pytest_modal.fixture
    def doubled(answer): return 2 * answer

    @pytest_modal.fixture
    def plain(): return 3

    def test_answer(answer, capsys):
        with capsys.disabled():
            print("GOT", answer)

    def test_doubled(doubled, capsys):
        with capsys.disabled():
            print("GOT", doubled)

    def test_plain(plain): assert plain == 3
"""


def environment_of_its_own(directory: Path) -> tuple[Path, Path]:
    """Make a virtual environment with all that is in this one, and return its Python and its directory of packages."""
    venv.create(directory, symlinks=True)
    site = next(directory.glob("lib/python3*/site-packages"))
    (site / "shared.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return directory / "bin" / "python", site


def put_version(site: Path, version: str, value: int) -> None:
    for earlier in site.glob("answers-*"):
        shutil.rmtree(earlier)
    install(site, "answers", version, "answers.py")
    (site / "answers.py").write_text(f"VALUE = {value}\n")


SAID = (
    "1 reused result made with other packages: answers 1.0 -> 2.0; with the ini modal_resume_packages = same they "
    "are computed again"
)
AGAIN = "2 kept results computed again, as packages have changed: answers 1.0 -> 2.0"


@pytest.mark.parametrize(
    ("ini", "options", "answers", "line"),
    [
        ("", ["--modal-resume"], [1, 2], SAID),
        ("modal_resume_packages = any\nmodal_resume = true", [], [1, 2], SAID),
        ("modal_resume = true", [], [7, 14], AGAIN),
        ("modal_resume_packages = same", ["--modal-resume"], [7, 14], AGAIN),
    ],
)
def test_a_result_of_another_version_is_named_or_computed_again(
    pytester: pytest.Pytester,
    tmp_path_factory: pytest.TempPathFactory,
    ini: str,
    options: list[str],
    answers: list[int],
    line: str,
) -> None:
    python, site = environment_of_its_own(tmp_path_factory.mktemp("environment"))
    put_version(site, "1.0", 1)
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.makepyfile(SUITE)
    pytester.run(python, "-m", "pytest", "-p", "no:randomly").assert_outcomes(passed=3)
    put_version(site, "2.0", 7)
    result = pytester.run(python, "-m", "pytest", "-p", "no:randomly", *options)
    result.assert_outcomes(passed=3)
    assert_lines(result.outlines, [*(f"*GOT {answer}" for answer in answers), line])
    again = pytester.run(python, "-m", "pytest", "-p", "no:randomly", *options)
    again.assert_outcomes(passed=3)
    again.stdout.fnmatch_lines([*(f"*GOT {answer}" for answer in answers), "resumed: 3 of 3 calls reused*"])


def test_what_it_may_be_is_said(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmodal_resume_packages = some\n")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *modal_resume_packages*'some'*", "*set it to same or any, or remove it"])
