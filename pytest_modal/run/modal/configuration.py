"""Modal's configuration on this machine: what is wrong with it, before Modal is asked anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pytest_modal.run.modal.errors import TOKEN_REMEDY, InfrastructureError, misconfigured
from pytest_modal.wording import first_few

_NAMES = {"token_id": "MODAL_TOKEN_ID", "token_secret": "MODAL_TOKEN_SECRET"}
_OAUTH = ("oauth_refresh_token", "oauth_client_id", "oauth_client_secret", "oauth_jwt_key")
_OAUTH_REMEDY = (
    "set MODAL_OAUTH_REFRESH_TOKEN, MODAL_OAUTH_CLIENT_ID, and either MODAL_OAUTH_CLIENT_SECRET or MODAL_OAUTH_JWT_KEY"
)


def fault_of_configuration() -> InfrastructureError | None:
    """Return why Modal can't be used as it is configured here; None where nothing is seen to be wrong."""
    try:
        from modal import config
    # The client reads its file and some variables when it is imported, and can't be imported where one is wrong.
    except Exception as error:
        return misconfigured(error)
    profiles: Any = config.config_profiles
    return _fault(config.config, [*profiles()], config.user_config_path, os.environ)


def _fault(config: Any, profiles: list[str], path: str, environment: Mapping[str, str]) -> InfrastructureError | None:
    token = {name: config.get(name) for name in _NAMES}
    if oauth := [name for name in _OAUTH if _value(config, name)]:
        return _oauth_fault(oauth, any(token.values()))
    if all(token.values()):
        return None
    profile = environment.get("MODAL_PROFILE")
    if profile and profile not in profiles:
        has = f"which has {first_few(profiles)}" if profiles else "which has none"
        return InfrastructureError(
            "auth",
            f"there is no profile {profile!r} (MODAL_PROFILE) in {path}, {has}",
            f"correct MODAL_PROFILE, or make the profile: modal token new --profile {profile}",
        )
    if len(profiles) > 1 and not profile:
        return InfrastructureError(
            "auth",
            f"none of the profiles in {path} is active: {first_few(profiles)}",
            f"run `modal profile activate {profiles[0]}`, or set MODAL_PROFILE",
        )
    missing = [variable for name, variable in _NAMES.items() if not token[name]]
    if len(missing) == 1:
        return InfrastructureError("auth", f"half of the token is missing: {missing[0]} is not set", TOKEN_REMEDY)
    return InfrastructureError("auth", "there is no token for Modal on this machine", TOKEN_REMEDY)


def _oauth_fault(given: list[str], has_token: bool) -> InfrastructureError | None:
    proofs = [name for name in _OAUTH[2:] if name in given]
    missing = [name for name in _OAUTH[:2] if name not in given] + ([] if proofs else [_OAUTH[2]])
    if has_token:
        what = "a token and OAuth credentials are both configured, and Modal takes one of them"
        remedy = "unset MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, or the MODAL_OAUTH_ variables; or correct the file"
    elif missing:
        names = first_few(f"MODAL_{name.upper()}" for name in missing)
        what = f"the OAuth credentials are incomplete: {names} {'is' if len(missing) == 1 else 'are'} not set"
        remedy = _OAUTH_REMEDY
    elif len(proofs) > 1:
        what = "the OAuth credentials have a client secret and a JWT key, and Modal takes one of them"
        remedy = "unset MODAL_OAUTH_CLIENT_SECRET or MODAL_OAUTH_JWT_KEY"
    else:
        return None
    return InfrastructureError("auth", what, remedy)


def _value(config: Any, name: str) -> Any:
    try:
        return config.get(name)
    except KeyError:  # an older client
        return None
