"""Where downloads of the Hugging Face hub are kept: in a volume, unless the project says otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

SUITE = """
    import sys
    import modal
    import pytest

    IMAGE = modal.Image.debian_slim(python_version="%d.%d" % sys.version_info[:2])

    def look(x=1):
        import os
        return {name: os.environ.get(name) for name in ("HF_HOME", "HF_XET_HIGH_PERFORMANCE", "PYTEST_MODAL_CACHE")}

    @pytest.mark.modal_gpu(function=look, DECLARED)
    def test_it(modal_result, save_json): save_json("seen.json", modal_result)
    """


def seen(pytester: pytest.Pytester, declared: str) -> dict[str, Any]:
    """Return the variables of a container with what was declared."""
    pytester.makepyfile(SUITE.replace("DECLARED", declared))
    pytester.runpytest_subprocess("--modal", timeout=60).assert_outcomes(passed=1)
    (written,) = pytester.path.rglob("seen.json")
    found: dict[str, Any] = json.loads(written.read_text())
    return found


def volumes_of(server: LoopbackModal) -> list[str]:
    (function,) = (each for each in server.facts()["functions"] if not each["base"])
    return sorted(function["volumes"])


@pytest.mark.parametrize(
    ("declared", "home"),
    [
        ("env={'HF_HOME': '/mine'}", "/mine"),
        ("image=IMAGE.env({'HF_HOME': '/opt/weights'})", "/opt/weights"),
        ("secrets=['hub']", "/of/the/secret"),
    ],
    ids=["a variable", "an image", "a secret"],
)
def test_who_says_where_is_heard(
    pytester: pytest.Pytester, modal_server: LoopbackModal, declared: str, home: str
) -> None:
    modal_server.add_secret("hub", {"HF_HOME": "/of/the/secret", "HF_TOKEN": "hf_x"})
    assert seen(pytester, declared)["HF_HOME"] == home
    assert volumes_of(modal_server) == ["/cache/huggingface"]


def test_nobody_says_where(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    variables = seen(pytester, "gpu='T4'")
    assert variables["HF_HOME"] is not None
    assert variables["HF_XET_HIGH_PERFORMANCE"] == "1"
    assert variables["PYTEST_MODAL_CACHE"] is None


def test_the_volume_that_the_project_mounts_is_the_cache(
    pytester: pytest.Pytester, modal_server: LoopbackModal
) -> None:
    assert seen(pytester, "volumes={'/models': 'pytest-modal-huggingface'}")["HF_HOME"] is not None
    assert volumes_of(modal_server) == ["/models"]


@pytest.mark.parametrize("status", ["PERMISSION_DENIED", "RESOURCE_EXHAUSTED"])
def test_without_the_volume_it_goes_on_and_says_so(
    pytester: pytest.Pytester, modal_server: LoopbackModal, status: str
) -> None:
    modal_server.fail("rpc", times=None, rpc="VolumeGetOrCreate", status=status, message="no volumes for you")
    pytester.makepyfile(SUITE.replace("DECLARED", "gpu='T4'"))
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    result.assert_outcomes(passed=1)
    assert_lines(
        result.outlines,
        ["downloads are not kept: the volume 'pytest-modal-huggingface' (modal_cache_volume) can't be had: *for you*"],
    )


GATED = """
    import pytest

    class GatedRepoError(Exception): pass

    def load():
        try:
            raise GatedRepoError("403 Client Error")
        except GatedRepoError as error:
            raise OSError("You are trying to access a gated repo.") from error

    @pytest.mark.modal_gpu(function=load, SECRETS)
    def test_it(modal_result): pass
    """


@pytest.mark.parametrize(
    ("secrets", "remedy"),
    [
        ("gpu=None", "a gated or private model needs a token in the container: `modal secret create huggingface *"),
        ('secrets=["mine"]', "check that its secrets= set HF_TOKEN, and that *"),
    ],
)
def test_a_gated_model_asks_for_a_token(pytester: pytest.Pytester, secrets: str, remedy: str) -> None:
    pytester.makepyfile(GATED.replace("SECRETS", secrets))
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["load raised OSError", f"  what to do: {remedy}"])
