"""The command ``diptych-x-anylabeling``."""

from __future__ import annotations

import sys

from .options import read_options


def main() -> int:
    """Serve until a signal comes; returns the exit code."""
    read_options()
    return 0


if __name__ == "__main__":
    sys.exit(main())
