"""The rules, one a file, in the order of their codes."""

from __future__ import annotations

from pytest_modal.checks.rule import Rule
from pytest_modal.checks.rules import (
    pm101_file_writes,
    pm102_local_paths,
    pm103_import_time,
    pm104_many_sessions,
    pm105_local_imports,
    pm106_missing_packages,
    pm107_unused_packages,
    pm108_repeated_loads,
    pm109_top_level_state,
    pm110_build_downloads,
    pm111_shared_state,
)

_MODULES = (
    pm101_file_writes,
    pm102_local_paths,
    pm103_import_time,
    pm104_many_sessions,
    pm105_local_imports,
    pm106_missing_packages,
    pm107_unused_packages,
    pm108_repeated_loads,
    pm109_top_level_state,
    pm110_build_downloads,
    pm111_shared_state,
)
RULES: dict[str, Rule] = {module.RULE.code: module.RULE for module in _MODULES}
