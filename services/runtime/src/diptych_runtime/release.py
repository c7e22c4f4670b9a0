"""Which release of the product runs."""

from __future__ import annotations

import argparse
from importlib.metadata import version

RELEASE = version("diptych-runtime")
"""All distributions of a release have one version."""


def add_version_option(parser: argparse.ArgumentParser) -> None:
    """Let a command tell its version as ``diptych`` does, and end."""
    parser.add_argument("--version", action="version", version=f"%(prog)s, version {RELEASE}")
