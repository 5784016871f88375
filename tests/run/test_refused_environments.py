"""What one environment declares and Modal refuses fails the tests of that environment, and no others."""

from __future__ import annotations

import pytest
from loopback_modal import LoopbackModal

SUITE = """
    import modal
    import pytest

    def good(): return 1
    def bad(): return 2

    @pytest.mark.modal_gpu(function=good, gpu="T4")
    def test_good(modal_result): assert modal_result == 1

    @pytest.mark.modal_gpu(function=bad, gpu="L4", {declared})  # modal: allow PM107
    def test_bad(modal_result): pass
    """
SHUT_DOWN = "Image build terminated due to external shut-down. Please try again."


def run(pytester: pytest.Pytester, declared: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(SUITE.format(declared=declared))
    return pytester.runpytest_subprocess("--modal", "-p", "no:randomly", *arguments, timeout=90)


@pytest.mark.parametrize(
    ("declared", "said", "remedy", "status"),
    [
        (
            'packages=["no-such-package==1.0"]',
            "the image of L4 could not be built: *no-such-package*",
            "fix packages= or image= of the GPU functions*",
            1,
        ),
        (
            'packages=["cut-short==1.0"]',
            f"the image of L4 could not be built: {SHUT_DOWN}",
            "run pytest again: the build was cut short*",
            70,
        ),
        ('secrets=["nobody-s"]', "Modal refused the environment L4 (not found): *nobody-s*", "create it*", 70),
        (
            "packages=['numpy'], image=modal.Image.debian_slim().add_local_file(__file__, '/root/x')",
            "Modal refused the environment L4 (setting): *image.add_local_*",
            "fix that setting*",
            1,
        ),
    ],
    ids=["no such package", "a build that was cut short", "no such secret", "a layer after local files"],
)
def test_others_run(
    pytester: pytest.Pytester,
    modal_server: LoopbackModal,
    declared: str,
    said: str,
    remedy: str,
    status: int,
) -> None:
    modal_server.fail("image_build", match="cut-short", log=[], message=SHUT_DOWN, times=None)
    result = run(pytester, declared)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*{said}", f"*what to do: {remedy}"])
    assert result.ret == status
    facts = modal_server.facts()
    names = {function["id"]: function["name"] for function in facts["functions"]}
    assert [names[container["function"]] for container in facts["containers"]] == ["T4.*"]
    assert all(app["state"] == "stopped" for app in facts["apps"])


def test_the_only_environment_is_not_tried_again(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    result = run(pytester, 'packages=["no-such-package==1.0"]', "-k", "bad")
    result.assert_outcomes(errors=1, deselected=1)
    result.stdout.fnmatch_lines(["an image could not be built: *no-such-package*"])
    assert len(modal_server.facts()["apps"]) == 1


def test_what_depends_on_it_says_so(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest_modal

        @pytest_modal.fixture(gpu="L4", packages=["no-such-package==1.0"])
        def first(): return 1  # modal: allow PM107

        @pytest_modal.fixture(gpu="T4")
        def second(first): return first + 1

        @pytest_modal.fixture(gpu="T4")
        def third(): return 3

        def test_second(second): pass
        def test_third(third): assert third == 3
        """
    )
    result = pytester.runpytest_subprocess("--modal", "-o", "modal_rules=PM107 = off", timeout=90)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the image of L4 could not be built: *no-such-package*"])


def test_another_python_is_named_when_the_container_starts(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    # The server has one Python: the image is right, and this machine is said to have another one.
    pytester.makeconftest("from pytest_modal.run.modal import entry\nentry.PYTHON = '3.99'")
    image = "modal.Image.debian_slim(python_version='%d.%d' % __import__('sys').version_info[:2])"
    result = run(pytester, f"image={image}", "-k", "bad")
    result.assert_outcomes(errors=1, deselected=1)
    result.stdout.re_match_lines([r"the image of L4 has Python 3\.\d+, and 3\.99 runs pytest"])
    result.stdout.fnmatch_lines(["*what to do: give the image that version, *"])
    assert result.ret == 1


def test_an_image_that_ends_in_local_files_is_taken_as_it_is(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    (pytester.path / "table.json").write_text("[1, 2]")
    (pytester.path / "brought.py").write_text("VALUE = 41\n")
    pytester.makepyfile(
        """
        import sys
        import modal
        import pytest

        BASE = modal.Image.debian_slim(python_version="%d.%d" % sys.version_info[:2])
        FILES = BASE.uv_pip_install("numpy").add_local_file("table.json", "/root/table.json")
        SOURCE = BASE.add_local_python_source("brought")

        def reads():
            import pathlib
            return pathlib.Path("table.json").read_text()

        def imports():
            import brought
            return brought.VALUE + 1

        @pytest.mark.modal_gpu(function=reads, image=FILES)
        def test_files(modal_result): assert modal_result == "[1, 2]"

        @pytest.mark.modal_gpu(function=imports, image=SOURCE)
        def test_source(modal_result): assert modal_result == 42
        """
    )
    result = pytester.runpytest_subprocess("--modal", timeout=90)
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*PM10*")
    requirements = {tuple(image["requirements"]) for image in modal_server.facts()["images"]}
    assert requirements == {(), ("numpy",)}


def test_an_image_without_numpy_is_named_where_an_array_arrives(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    pytester.makepyfile(
        """
        import sys
        import modal
        import numpy as np
        import pytest

        IMAGE = modal.Image.debian_slim(python_version="%d.%d" % sys.version_info[:2])

        def double(x): return 2 * x

        @pytest.mark.modal_gpu(function=double, image=IMAGE, args={"x": 1})
        def test_number(modal_result): assert modal_result == 2

        @pytest.mark.modal_gpu(function=double, image=IMAGE, args={"x": np.ones(2)})
        def test_array(modal_result): pass
        """
    )
    result = pytester.runpytest_subprocess("--modal", timeout=90)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*No module named 'numpy'*"])
