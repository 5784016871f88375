"""What is wrong with Modal's configuration on this machine is named before anything is sent."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines

ONE = """
    import pytest

    def one(): return 1

    @pytest.mark.modal_gpu(function=one)
    def test_it(modal_result): pass
"""
TWO = '[home]\ntoken_id = "x"\ntoken_secret = "y"\n[work]\ntoken_id = "x"\ntoken_secret = "y"\n'
UNREADABLE = "Error when reading the modal configuration from `<file>`."
TOKEN = "run `modal token new`, or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET (in CI: from the repository's secrets)"


@pytest.mark.parametrize(
    ("file", "variables", "said", "remedy"),
    [
        ("", {}, "there is no token for Modal on this machine", TOKEN),
        ("", {"MODAL_TOKEN_ID": "ak-1"}, "half of the token is missing: MODAL_TOKEN_SECRET is not set", TOKEN),
        ('[home]\ntoken_secret = "y"\n', {}, "there is no token for Modal on this machine", TOKEN),
        (
            TWO,
            {},
            "none of the profiles in <file> is active: home, work",
            "run `modal profile activate home`, or set MODAL_PROFILE",
        ),
        (
            TWO,
            {"MODAL_PROFILE": "school"},
            "there is no profile 'school' (MODAL_PROFILE) in <file>, which has home, work",
            "correct MODAL_PROFILE, or make the profile: modal token new --profile school",
        ),
        (
            "",
            {"MODAL_PROFILE": "school"},
            "there is no profile 'school' (MODAL_PROFILE) in <file>, which has none",
            "correct MODAL_PROFILE, or make the profile: modal token new --profile school",
        ),
        (
            "[home\ntoken_id = ",
            {},
            f"{UNREADABLE} Key group not on a line by itself. (line 1 column 1 char 0)",
            "correct the file; or move it away, and run `modal token new`",
        ),
    ],
    ids=["none", "half", "half in a file", "two profiles", "unknown profile", "profile without a file", "broken file"],
)
def test_it_is_named_with_the_way_out(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    variables: dict[str, str],
    said: str,
    remedy: str,
) -> None:
    path = pytester.path / "modal.toml"
    path.write_text(file)
    monkeypatch.setenv("MODAL_CONFIG_PATH", str(path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    pytester.makepyfile(ONE)
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    result.assert_outcomes(errors=1)
    assert result.ret == 70
    assert_lines(result.outlines, [said.replace("<file>", str(path)), f"  what to do: {remedy}"])
