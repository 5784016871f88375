"""GPU-backed research tests: functions go to the GPU, data comes back, everything else stays local."""

from pytest_modal.batch.failure import Failure
from pytest_modal.declare.keywords import DeclarationError
from pytest_modal.gate.judge.errors import AccuracyRegression, AccuracyWarning, BaselineError
from pytest_modal.local.decorator import fixture

__all__ = ["AccuracyRegression", "AccuracyWarning", "BaselineError", "DeclarationError", "Failure", "fixture"]
