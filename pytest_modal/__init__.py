"""GPU-backed research tests: functions go to the GPU, data comes back, everything else stays local."""

from pytest_modal.declare import DeclarationError, fixture

__all__ = ["DeclarationError", "fixture"]
