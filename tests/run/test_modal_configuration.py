"""What is wrong with Modal's configuration on this machine is named before anything is sent."""

from __future__ import annotations

import pytest
from literal_lines import assert_lines
from loopback_modal import LoopbackModal

ONE = """
    import pytest

    def one(): return 1

    @pytest.mark.modal_gpu(function=one)
    def test_it(modal_result): pass
"""
TWO = '[home]\ntoken_id = "x"\ntoken_secret = "y"\n[work]\ntoken_id = "x"\ntoken_secret = "y"\n'
BOTH = "a token and OAuth credentials are both configured, and Modal takes one of them"
OAUTH = {"MODAL_OAUTH_REFRESH_TOKEN": "or-1", "MODAL_OAUTH_CLIENT_ID": "oc-1", "MODAL_OAUTH_CLIENT_SECRET": "ov-1"}
ALL_OF_OAUTH = (
    "set MODAL_OAUTH_REFRESH_TOKEN, MODAL_OAUTH_CLIENT_ID, and either MODAL_OAUTH_CLIENT_SECRET or MODAL_OAUTH_JWT_KEY"
)
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
        (
            "",
            {"MODAL_OAUTH_CLIENT_ID": "oc-1"},
            "the OAuth credentials are incomplete: MODAL_OAUTH_REFRESH_TOKEN, MODAL_OAUTH_CLIENT_SECRET are not set",
            ALL_OF_OAUTH,
        ),
        (
            '[home]\noauth_refresh_token = "or-1"\noauth_jwt_key = "-----"\n',
            {"MODAL_PROFILE": "home"},
            "the OAuth credentials are incomplete: MODAL_OAUTH_CLIENT_ID is not set",
            ALL_OF_OAUTH,
        ),
        (
            "",
            {**OAUTH, "MODAL_OAUTH_JWT_KEY": "-----"},
            "the OAuth credentials have a client secret and a JWT key, and Modal takes one of them",
            "unset MODAL_OAUTH_CLIENT_SECRET or MODAL_OAUTH_JWT_KEY",
        ),
        (
            '[home]\ntoken_id = "x"\ntoken_secret = "y"\nactive = true\n',
            OAUTH,
            BOTH,
            "unset MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, or the MODAL_OAUTH_ variables; or correct the file",
        ),
    ],
    ids=[
        "none",
        "half",
        "half in a file",
        "two profiles",
        "unknown profile",
        "profile without a file",
        "broken file",
        "half of OAuth",
        "OAuth in a file",
        "both secrets of OAuth",
        "token and OAuth",
    ],
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


@pytest.mark.parametrize(
    ("file", "variables", "said"),
    [
        (TWO.replace("[work]", "active = true\n[work]\nactive = true"), {}, "More than one Modal profile is active. *"),
        (TWO, {}, "No Modal profile is active. *"),
        ("", {"MODAL_HEARTBEAT_INTERVAL": "often"}, "Invalid value for heartbeat_interval config ('often'): *"),
    ],
    ids=["two active profiles", "token beside idle profiles", "wrong setting"],
)
def test_what_the_client_itself_finds_is_a_fault_of_the_configuration(
    pytester: pytest.Pytester,
    modal_server: LoopbackModal,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    variables: dict[str, str],
    said: str,
) -> None:
    path = pytester.path / "modal.toml"
    path.write_text(file)
    for name, value in {"MODAL_CONFIG_PATH": str(path), **variables}.items():
        monkeypatch.setenv(name, value)
    pytester.makepyfile(ONE)
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    result.assert_outcomes(errors=1)
    assert result.ret == 70
    remedy = "correct Modal's file (`modal profile list`, `modal profile activate`) or the MODAL_ variables"
    assert_lines(result.outlines, [said, f"  what to do: {remedy}"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_who_pays_is_said_once_before_anything_is_paid_for(
    pytester: pytest.Pytester, modal_server: LoopbackModal, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MODAL_ENVIRONMENT", "experiments")
    pytester.makepyfile(ONE)
    result = pytester.runpytest_subprocess("--modal", *workers, timeout=60)
    result.assert_outcomes(passed=1)
    paid = "modal: paid by workspace tester, environment experiments"
    assert_lines(result.outlines, [paid, "modal: starting a session, *"])
    assert result.outlines.count(paid) == 1


def test_a_session_does_without_knowing_who_pays(pytester: pytest.Pytester, modal_server: LoopbackModal) -> None:
    modal_server.fail("rpc", times=None, rpc="WorkspaceNameLookup", status="PERMISSION_DENIED")
    pytester.makepyfile(ONE)
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    result.assert_outcomes(passed=1)
    assert "modal: paid by environment main" in result.outlines


@pytest.mark.parametrize("secret", ["ov-loopback", "ov-old"])
def test_oauth_credentials_serve_as_a_token_does(
    pytester: pytest.Pytester, modal_server: LoopbackModal, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET"):
        monkeypatch.delenv(name)
    for name, value in {**modal_server.oauth_env, "MODAL_OAUTH_CLIENT_SECRET": secret}.items():
        monkeypatch.setenv(name, value)
    pytester.makepyfile(ONE)
    result = pytester.runpytest_subprocess("--modal", timeout=60)
    if secret == "ov-loopback":
        result.assert_outcomes(passed=1)
        return
    assert result.ret == 70
    remedy = "have them renewed by the program that sets the MODAL_OAUTH_ variables"
    assert_lines(result.outlines, ["Modal does not accept the OAuth credentials: *", f"  what to do: {remedy}"])
    assert secret not in result.stdout.str()
