"""GPU-backed research tests: functions go to the GPU, data comes back, everything else stays local."""

from pytest_modal.declare import DeclarationError, fixture
from pytest_modal.gate.errors import AccuracyRegression, AccuracyWarning, BaselineError

__all__ = ["AccuracyRegression", "AccuracyWarning", "BaselineError", "DeclarationError", "fixture"]
