"""Run ``buf lint`` and ``buf format`` over the contract, without the network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROTO = Path(__file__).resolve().parent
FORMAT = ("format", "--diff", "--exit-code", "--path", "diptych")


def main() -> None:
    """Check both; the exit status is the first of buf's that is not 0."""
    buf = Path(sys.executable).parent / "buf"
    done = [
        subprocess.run([str(buf), *what], cwd=PROTO, check=False) for what in (FORMAT, ("lint",))
    ]
    raise SystemExit(next((one.returncode for one in done if one.returncode), 0))


if __name__ == "__main__":
    main()
