"""Hostile inputs by the million: whatever is read, the answer is a value or a clear error."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "gate"))  # for baselines that the tests of gates make
