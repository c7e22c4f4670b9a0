"""Which release of the product runs."""

from __future__ import annotations

import argparse
import os
from importlib.metadata import version

RELEASE = version("diptych-runtime")
"""All distributions of a release have one version."""
REVISION = os.environ.get("DIPTYCH_REVISION", "")
"""The commit that an image was built from, as its build said; empty for none."""


def add_version_option(parser: argparse.ArgumentParser) -> None:
    """Let a command tell its version as ``diptych`` does, and end."""
    parser.add_argument("--version", action="version", version=f"%(prog)s, version {RELEASE}")


def release_fields() -> dict[str, str]:
    """Name the release, and the revision where it is known, for a line of the log."""
    return {"version": RELEASE} | ({"revision": REVISION} if REVISION else {})
