"""The suites are run by `test_suites.py`, in processes of their own."""

from __future__ import annotations

from pathlib import Path

collect_ignore = [str(path) for path in Path(__file__).parent.iterdir() if path.is_dir()]
