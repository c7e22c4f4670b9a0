"""Environments that hold a distribution from its wheel, and what that needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_OURS = re.compile(r"^_*(editable_impl_|_editable_+)?diptych")


class InstallError(Exception):
    """A wheel cannot be installed, or lacks something; the message says which and why."""


class Environment:
    """A virtual environment without our sources; none of our settings reach its commands.

    Args:
        folder: Where it is made.
        wanted: The distribution, with its extras.
        wheels: Folder of our wheels; nothing else of ours is seen.
        torch: Whether it needs torch. Then what is not ours comes from this environment: torch and
            its libraries are five gigabytes, and what is tested is our wheel.

    Raises:
        InstallError: it cannot be installed, or something that it needs is missing.
    """

    def __init__(self, folder: Path, wanted: str, wheels: Path, *, torch: bool) -> None:
        self.bin = folder / "bin"
        self._folder = folder
        _run([sys.executable, "-m", "venv", *(["--without-pip"] if torch else []), str(folder)])
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python")]
        source = ["--no-index"] if torch else ["-c", str(ROOT / "constraints.txt")]
        if torch:
            self._lend(folder / "lent")
        _run([*pip, "install", "-q", *source, "--find-links", str(wheels), wanted])
        _run([*pip, "check"])

    def _lend(self, lent: Path) -> None:
        """Let the environment see everything of this one but our own distributions."""
        lent.mkdir()
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if not _OURS.match(entry.name):
                (lent / entry.name).symlink_to(entry)
        (packages,) = self._folder.glob("lib/python*/site-packages")
        (packages / "lent.pth").write_text(f"{lent}\n")

    def run(self, *command: str, settings: Mapping[str, str] | None = None) -> str:
        """Run one of its commands in its own folder; returns what it printed.

        Raises:
            InstallError: it ended with an error.
        """
        return _run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=self._folder,
            environment=self.settings(settings),
        )

    def start(
        self, command: str, settings: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        """Start one of its servers, whose log goes to a file."""
        with log.open("wb") as out:
            return subprocess.Popen(
                [str(self.bin / command)],
                cwd=self._folder,
                env=self.settings(settings),
                stdout=out,
                stderr=out,
            )

    def settings(self, chosen: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables of its commands: ours without those that would change them."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DIPTYCH_", "PYTHON", "VIRTUAL_ENV"))
        }
        return {**kept, "PATH": f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin", **(chosen or {})}


def _run(
    command: list[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=environment, check=False, capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        said = (done.stderr + done.stdout).strip()
        name = " ".join([Path(command[0]).name, *command[1:]])
        raise InstallError(f"{name}\nended with {done.returncode}:\n{said}")
    return done.stdout
