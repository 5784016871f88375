"""Suites without GPU tests don't notice the plugin."""

from __future__ import annotations

import json

import pytest

HEAVY = ["modal", "torch", "numpy", "pandas", "matplotlib", "scipy", "rich", "cloudpickle", "transformers"]


def test_nothing_heavy_is_imported_and_nothing_is_written(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_plain=f"""
        import json, sys, pytest

        @pytest.mark.parametrize("n", range(3))
        def test_it(n, request): pass

        class TestClass:
            def test_method(self, tmp_path): pass

        def test_last():
            with open("imported.json", "w") as file:
                json.dump(sorted(set({HEAVY!r}) & set(sys.modules)), file)
        """
    )
    others = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:randomly"]  # they may import numpy
    result = pytester.runpytest_subprocess(*others, "-Werror", "-pno:asyncio")
    result.assert_outcomes(passed=5)
    result.stdout.no_fnmatch_line("*modal:*")
    assert json.loads((pytester.path / "imported.json").read_text()) == []
    assert not (pytester.path / "modal_output").exists()
    assert not (pytester.path / ".pytest_cache").exists()
