"""Images are built once for what the project needs, and not again for each selection; counted on the server."""

from __future__ import annotations

import pytest
from loopback_modal import LoopbackModal

SUITE = {
    "conftest.py": """
        import pytest_modal

        @pytest_modal.fixture(scope="container")
        def model():
            import cycler
            return {"weights": 1}

        @pytest_modal.fixture
        def first(model):
            import mpmath
            return [{"id": each, "correct": True} for each in range(40)]

        @pytest_modal.fixture
        def second(model, first):
            import os, pyparsing
            if not os.environ.get("READY"):
                raise RuntimeError("not today")
            return 2
        """,
    "test_first.py": """
        def test_first(first): assert len(first) == 40

        def test_gate(first, accuracy_gate):
            import os
            broken = os.environ.get("BROKEN")
            accuracy_gate("first", [{**row, "correct": row["correct"] and not broken} for row in first])
        """,
    "test_second.py": "def test_second(second): assert second == 2",
}


@pytest.fixture
def suite(pytester: pytest.Pytester, modal_server: LoopbackModal) -> pytest.Pytester:
    pytester.makepyfile(**{name.removesuffix(".py"): source for name, source in SUITE.items()})
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_subprocess("--modal", "-p", "no:randomly", *arguments, timeout=90)


def built(server: LoopbackModal) -> list[str]:
    """Return what the built images install, beginning with the base."""
    return [" ".join(image["requirements"]) for image in server.facts()["images"] if image["builds"]]


SELECTIONS = {
    "a keyword": ["-k", "first"],
    "a file": ["test_first.py"],
    "what failed last": ["--lf"],
    "what is left": ["--modal-resume"],
    "two workers": ["-n2", "-k", "first"],
    "a recorded baseline": ["--modal-update-baselines", "test_first.py", "-o", "modal_baseline_rounds=2"],
}


def test_no_selection_builds_another_image(suite: pytest.Pytester, modal_server: LoopbackModal) -> None:
    run(suite).assert_outcomes(passed=2, errors=1)
    images = built(modal_server)
    assert len(images) == 2  # the base, and one layer
    for name, arguments in SELECTIONS.items():
        run(suite, *arguments)
        assert built(modal_server) == images, name


def test_a_confirmation_builds_no_image(
    suite: pytest.Pytester, modal_server: LoopbackModal, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(suite, "--modal-update-baselines", "-k", "gate").assert_outcomes(passed=1, deselected=2)
    images = built(modal_server)
    monkeypatch.setenv("BROKEN", "1")
    result = run(suite, "-k", "gate")
    result.assert_outcomes(failed=1, deselected=2)
    result.stdout.fnmatch_lines(["*4 fresh rounds for 1 test with suspicious gates*"])
    assert built(modal_server) == images


def test_the_first_run_may_be_of_a_selection(suite: pytest.Pytester, modal_server: LoopbackModal) -> None:
    run(suite, "-k", "first").assert_outcomes(passed=2, deselected=1)
    images = built(modal_server)
    assert all(name in images[-1] for name in ("cycler", "mpmath", "pyparsing"))
    run(suite)
    assert built(modal_server) == images


def test_a_file_alone_adds_to_what_is_remembered(suite: pytest.Pytester, modal_server: LoopbackModal) -> None:
    run(suite, "test_first.py").assert_outcomes(passed=2)
    assert "pyparsing" not in built(modal_server)[-1]
    run(suite, "test_second.py")
    assert all(name in built(modal_server)[-1] for name in ("mpmath", "pyparsing"))
    images = built(modal_server)
    run(suite)
    run(suite, "test_first.py")
    assert built(modal_server) == images


def test_a_run_of_all_tests_forgets_what_nothing_needs(suite: pytest.Pytester, modal_server: LoopbackModal) -> None:
    run(suite)
    (suite.path / "test_second.py").unlink()
    run(suite, "test_first.py").assert_outcomes(passed=2)
    assert "pyparsing" in built(modal_server)[-1]
    run(suite).assert_outcomes(passed=2)
    assert "pyparsing" not in built(modal_server)[-1]


def test_the_plan_says_which_images_are_new(suite: pytest.Pytester, modal_server: LoopbackModal) -> None:
    new, known = "  image: new since the last run on this machine", "  image: as in an earlier run"
    assert new in run(suite, "--modal-plan").outlines
    run(suite)
    assert known in run(suite, "--modal-plan", "-k", "first").outlines
    (suite.path / "test_third.py").write_text(
        "import pytest\n\ndef f():\n    import toml\n\n"
        "@pytest.mark.modal_gpu(function=f)\ndef test_it(modal_result): pass\n"
    )
    assert new in run(suite, "--modal-plan").outlines
    assert not any("image: " in line for line in suite.runpytest_subprocess("--modal-plan").outlines)


def test_heavy_packages_are_a_layer_that_images_share(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    pytester.makepyfile(
        """
        import pytest, pytest_modal

        @pytest_modal.fixture(gpu="T4")
        def one():
            def later(): import torch, mpmath
            return 1

        @pytest_modal.fixture(gpu="L4")
        def two():
            def later(): import torch, cycler
            return 2

        def test_them(one, two): assert one + two == 3
        """
    )
    run(pytester).assert_outcomes(passed=1)
    commands = [" ".join(image["commands"]) for image in modal_server.facts()["images"] if image["builds"]]
    assert sum("torch==" in each for each in commands) == 1
    assert len(commands) == 4  # the base, torch, and what each has besides
