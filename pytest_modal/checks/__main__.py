"""``python -m pytest_modal.checks``: the same as the command ``pytest-modal``."""

import sys

from pytest_modal.checks.cli import main

if __name__ == "__main__":
    sys.exit(main())
