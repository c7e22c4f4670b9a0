"""Python blocks of README and docs have types: a checker of who copies one agrees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from documentation import DOCS, ROOT, blocks

PAGES = [
    ROOT / "README.md",
    *(DOCS / f"{name}.md" for name in ("index", "python", "video", "batch")),
]


def test_python_blocks_pass_mypy_strict(tmp_path: Path) -> None:
    programs = blocks("python", PAGES)
    assert {"README.md", "docs/python.md", "docs/video.md"} <= {page for _, page in programs}
    for number, (program, page) in enumerate(programs):
        (tmp_path / f"{Path(page).stem.replace('-', '_')}_{number}.py").write_text(program)
    settings = ["--config-file", str(ROOT / "pyproject.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *settings, str(tmp_path)],
        cwd=ROOT,  # where `make lint` has left what it knows of our sources
        env={**os.environ, "MYPYPATH": str(ROOT / "client" / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
