"""What the command line says."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import diptych


def read_options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; ``--help`` and ``--version`` end the program."""
    parser = argparse.ArgumentParser(
        prog="diptych-x-anylabeling", description="Serve Diptych's models to X-AnyLabeling."
    )
    version = f"%(prog)s, version {diptych.__version__}"
    parser.add_argument("--version", action="version", version=version)
    return parser.parse_args(argv)
