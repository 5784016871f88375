"""What the ini declares for every GPU function, and how it combines with what is declared nearer."""

from __future__ import annotations

import pytest
from loopback_modal import LoopbackModal

SUITE = """
    import pytest
    import pytest_modal

    @pytest_modal.fixture
    def plain():
        import os
        return [os.environ.get("PROJECT"), os.environ.get("OWN")]

    @pytest_modal.fixture(env={"OWN": "own", "PROJECT": "nearer"})
    def nearer():
        import os
        return [os.environ.get("PROJECT"), os.environ.get("OWN")]

    def test_plain(plain): assert plain == ["whole", None]
    def test_nearer(nearer): assert nearer == ["nearer", "own"]
    """


def test_variables_of_the_project_are_added_to(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    pytester.makeini("[pytest]\nmodal_env =\n    PROJECT = whole\n")
    pytester.runpytest().assert_outcomes(passed=2)


def test_a_toml_list_is_a_list(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    pytester.makepyprojecttoml(
        '[tool.pytest.ini_options]\nmodal_env = ["PROJECT = whole"]\nmodal_packages = ["numpy"]\n'
    )
    pytester.runpytest().assert_outcomes(passed=2)
    result = pytester.runpytest("--modal-plan")
    result.stdout.fnmatch_lines(["environment: T4; timeout 1800 s; numpy", "  packages: numpy"])


def test_packages_and_local_packages_of_the_project(pytester: pytest.Pytester) -> None:
    pytester.mkpydir("kit").joinpath("table.txt").write_text("3")
    pytester.makepyfile(
        """
        import pytest

        def read():
            import importlib.resources
            return importlib.resources.files("kit").joinpath("table.txt").read_text()

        @pytest.mark.modal_gpu(function=read)
        def test_it(modal_result): assert modal_result == "3"
        """
    )
    pytester.makeini("[pytest]\npythonpath = .\nmodal_local_packages = kit\n")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_wrong_local_package_of_the_project_is_told_with_its_ini(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    pytester.makeini("[pytest]\nmodal_local_packages = no_such_package\n")
    result = pytester.runpytest()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*no_such_package*", "*where: local_packages= of the ini, modal_local_packages, for *"]
    )


IMAGES = """
    import sys
    import modal

    DEFAULT = modal.Image.debian_slim(python_version="%d.%d" % sys.version_info[:2])

    def default(): return DEFAULT.env({"BAKED": "in"})
    def number(): return 3
    def broken(): raise OSError("no registry")
    """
TEST = """
    import pytest

    def one(): return 1

    @pytest.mark.modal_gpu(function=one)
    def test_it(modal_result): assert modal_result == 1

    def test_plain(): pass
    """


@pytest.mark.parametrize("name", ["images.DEFAULT", "images.default"])
def test_an_image_by_its_name(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(images=IMAGES, test_it=TEST)
    pytester.makeini(f"[pytest]\npythonpath = .\nmodal_image = {name}\n")
    pytester.runpytest_subprocess().assert_outcomes(passed=2)
    result = pytester.runpytest_subprocess("--modal-plan")
    result.stdout.fnmatch_lines(["  packages: none"])
    assert "derived" not in result.stdout.str()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("images.number", "*modal_image = 'images.number' is not valid*"),
        ("images.broken", "*modal_image = 'images.broken' can't be imported: OSError: no registry*"),
        ("images.missing", "*modal_image = 'images.missing' can't be imported: AttributeError: *"),
        ("elsewhere.default", "*modal_image = 'elsewhere.default' can't be imported: ModuleNotFoundError: *"),
    ],
)
def test_a_wrong_image_fails_the_gpu_tests_only(pytester: pytest.Pytester, name: str, said: str) -> None:
    pytester.makepyfile(images=IMAGES, test_it=TEST)
    pytester.makeini(f"[pytest]\npythonpath = .\nmodal_image = {name}\n")
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([said, "*where: tox.ini", "*what to do: *"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("modal_env = PROJECT", "ERROR: modal_env = 'PROJECT' is not valid"),
        ("modal_volumes = models", "ERROR: modal_volumes = 'models' is not valid"),
        ("modal_image = images", "ERROR: modal_image = 'images' is not valid"),
    ],
)
def test_a_wrong_value_ends_the_run_at_once(pytester: pytest.Pytester, line: str, said: str) -> None:
    pytester.makepyfile(TEST)
    pytester.makeini(f"[pytest]\n{line}\n")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said, "  where: tox.ini", "  what to do: *"])


def test_a_named_environment_is_a_dict_of_the_project(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        environments='H100 = {"gpu": "H100", "timeout": 3600, "memory": (1024, 4096)}\n',
        test_it="""
        import pytest
        import pytest_modal
        from environments import H100

        @pytest_modal.fixture(**H100)
        def first(): return 1

        def one(): return 1

        @pytest.mark.modal_gpu(function=one, **H100)
        def test_it(first, modal_result): assert first == modal_result == 1
        """,
    )
    pytester.makeini("[pytest]\npythonpath = .\n")
    result = pytester.runpytest_subprocess("--modal-plan")
    assert [line for line in result.outlines if line.startswith("environment: ")] == [
        "environment: H100; timeout 3600 s"
    ]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"ephemeral_dsk": 1}, "*modal={'ephemeral_dsk': ...}: a Modal Function has no such setting*"),
        ({"scaledown_window": 1}, "*modal={'scaledown_window': 1} is not accepted by Modal: *"),
    ],
)
def test_a_setting_that_modal_does_not_take_is_found_when_planned(
    pytester: pytest.Pytester, setting: dict[str, object], said: str
) -> None:
    pytester.makepyfile(TEST.replace("function=one", f"function=one, modal={setting}"))
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([said, "*where: *:3", "*what to do: *"])


def test_requests_limits_and_what_passes_through_reach_modal(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    declared = 'cpu=(1, 2.5), memory=(512, 1024), modal={"ephemeral_disk": 600_000}, secrets=["own"]'
    pytester.makepyfile(TEST.replace("function=one", f"function=one, {declared}"))
    pytester.makeini("[pytest]\nmodal_secrets = project\nmodal_volumes = /models = weights\n")
    for name in ("own", "project"):
        modal_server.add_secret(name, {"SECRET": name})
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=2)
    (function,) = (each for each in modal_server.facts()["functions"] if not each["base"])
    assert (function["cpu"], function["cpu_limit"]) == (1, 2.5)
    assert (function["memory"], function["memory_limit"], function["disk"]) == (512, 1024, 600_000)
    assert function["secrets"] == ["project", "own"]
    assert set(function["volumes"]) == {"/models", "/cache/huggingface"}
