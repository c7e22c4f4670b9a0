"""Code that the page offers, run as somebody would who has copied it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent


async def ran(program: Sequence[str], folder: Path) -> str:
    """What a program prints; it has to end well."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *program,
        cwd=folder,
        env={**os.environ, "PATH": path, "NO_PROXY": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return out.decode()
