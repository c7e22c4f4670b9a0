"""Run ``buf lint`` over the contract, without the network.

buf does not see Python packages, so the one file that the contract imports from outside
(google/rpc/status.proto) is laid beside it in a temporary tree.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from google.rpc import status_pb2

PROTO = Path(__file__).resolve().parent


def main() -> None:
    """Lint; the exit status is buf's."""
    buf = Path(sys.executable).parent / "buf"
    with tempfile.TemporaryDirectory() as tmp:
        tree = Path(tmp)
        shutil.copytree(PROTO / "diptych", tree / "diptych")
        outside = Path("google/rpc/status.proto")
        (tree / outside).parent.mkdir(parents=True)
        shutil.copy(Path(status_pb2.__file__).with_name("status.proto"), tree / outside)
        config = (PROTO / "buf.yaml").read_text().replace("lint:\n", "lint:\n  ignore: [google]\n")
        (tree / "buf.yaml").write_text(config)
        format_check = subprocess.run(
            [str(buf), "format", "--diff", "--exit-code", "--path", "diptych"],
            cwd=tree,
            check=False,
        )
        lint = subprocess.run([str(buf), "lint"], cwd=tree, check=False)
    raise SystemExit(lint.returncode or format_check.returncode)


if __name__ == "__main__":
    main()
