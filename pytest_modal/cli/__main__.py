"""``python -m pytest_modal.cli``: the same as the command ``pytest-modal``."""

import sys

from pytest_modal.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
