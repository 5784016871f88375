"""Session fixtures that change their surroundings while they live: they are set up when the batch is planned."""

from __future__ import annotations

import pytest
from loopback_modal import LoopbackModal

REPLACED = """
    original, socket.socket = socket.socket, Blocked
    yield
    socket.socket = original
"""
PATCHED = """
    with mock.patch.object(socket.socket, "connect", Blocked.connect), \\
            mock.patch.object(socket, "getaddrinfo", Blocked.connect):
        yield
"""


@pytest.mark.parametrize("guard", [REPLACED, PATCHED], ids=["replaced", "patched"])
def test_a_guard_of_the_network_guards_the_tests_and_not_the_session(
    pytester: pytest.Pytester, modal_server: LoopbackModal, guard: str
) -> None:
    pytester.makeconftest(
        f"""
import socket
from unittest import mock
import pytest

class Blocked(socket.socket):
    def connect(self, *address): raise RuntimeError("tests stay offline")

@pytest.fixture(scope="session", autouse=True)
def network_blocker():
{guard}
"""
    )
    pytester.makepyfile(
        """
        import socket
        import pytest
        import pytest_modal

        @pytest_modal.fixture
        def one(): return 1

        def test_one(one):
            assert one == 1
            with pytest.raises(RuntimeError, match="tests stay offline"):
                socket.create_connection(("127.0.0.1", 9))
        """
    )
    result = pytester.runpytest_subprocess("--modal", "-p", "no:randomly", timeout=90)
    result.assert_outcomes(passed=1)
    assert len(modal_server.facts()["apps"]) == 1


def test_a_fixture_may_patch_the_environment_and_read_pytests_variable(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import os
        from unittest import mock
        import pytest

        @pytest.fixture(scope="session")
        def for_all():
            with mock.patch.dict(os.environ, {"OFFLINE": "1"}):
                yield os.environ["PYTEST_CURRENT_TEST"]

        @pytest.fixture(scope="module")
        def for_a_module():
            with mock.patch.dict(os.environ, {"SEED": "2"}, clear=True):
                yield sorted(os.environ)
        """
    )
    pytester.makepyfile(
        """
        import os
        import pytest
        import pytest_modal

        @pytest_modal.fixture
        def whole(for_all): return for_all

        @pytest_modal.fixture
        def part(for_a_module): return for_a_module

        def test_whole(whole):
            assert whole == "test_a_fixture_may_patch_the_environment_and_read_pytests_variable.py::test_whole (setup)"
            assert os.environ["PYTEST_CURRENT_TEST"].endswith("::test_whole (call)")

        def test_part(part):
            assert part == ["SEED"] and "OFFLINE" not in os.environ

        def test_plain():
            assert "PYTEST_CURRENT_TEST" in os.environ
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=3)
