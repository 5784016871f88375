"""Modal's configuration on this machine: what is wrong with it, before Modal is asked anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from pytest_modal.run.modal.errors import TOKEN_REMEDY, InfrastructureError
from pytest_modal.wording import first_few

_NAMES = {"token_id": "MODAL_TOKEN_ID", "token_secret": "MODAL_TOKEN_SECRET"}


def fault_of_configuration() -> InfrastructureError | None:
    """Return why Modal can't be used as it is configured here; None where nothing is seen to be wrong."""
    try:
        from modal import config
    # The client reads its file when it is imported, and can't be imported where that can't be read.
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        remedy = "correct the file; or move it away, and run `modal token new`"
        return InfrastructureError("configuration", " ".join(lines) or type(error).__name__, remedy)
    profiles: Any = config.config_profiles
    return _fault(config.config, [*profiles()], config.user_config_path, os.environ)


def _fault(config: Any, profiles: list[str], path: str, environment: Mapping[str, str]) -> InfrastructureError | None:
    token = {name: config.get(name) for name in _NAMES}
    if all(token.values()) or config.get("oauth_refresh_token"):
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
