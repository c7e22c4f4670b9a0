"""What bash offers behind TAB, in a bash that runs on a terminal; and ``diptych stats``."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from diptych.cli import main
from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
PATIENCE_S = 60


class Terminal:
    """A bash, and a person who waits until something is shown."""

    def __init__(self, folder: Path, address: str) -> None:
        # The program that is completed, and a function of its name that shows what it was given.
        program = folder / "bin" / "diptych"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m diptych.cli "$@"\n')
        program.chmod(0o755)
        environment = os.environ | {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "DIPTYCH_ADDRESS": address,
            "PS1": "> ",
            "TERM": "dumb",
            "COLUMNS": "500",
            "INPUTRC": "/dev/null",
        }
        self._end, other = pty.openpty()
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            stdin=other,
            stdout=other,
            stderr=other,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        os.close(other)
        self.type('eval "$(diptych completion bash)"\n')
        self.type("""diptych() { printf '<%s>' "$@"; echo "done"; }; echo re"ady"\n""")
        self.wait("ready")

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def wait(self, text: str) -> str:
        shown = ""
        while text not in shown:
            readable, _, _ = select.select([self._end], [], [], PATIENCE_S)
            assert readable, shown
            shown += os.read(self._end, 65536).decode()
        return shown

    def close(self) -> None:
        self._bash.kill()
        self._bash.wait()
        os.close(self._end)


@pytest.fixture
def terminal(service: FakeSegmentService, tmp_path: Path) -> Iterator[Terminal]:
    service.cards["two"].categories.append(pb.Category(id=10, name="traffic light"))
    (tmp_path / "photo.jpg").touch()
    opened = Terminal(tmp_path, service.address)
    yield opened
    opened.close()


def test_a_line_is_completed_in_bash(terminal: Terminal) -> None:
    """Each TAB after the one before has shown what it adds."""
    for typed, shown in (
        ("diptych segm\t", "segment "),
        ("pho\t", "photo.jpg "),
        ("--model tw\t", "two "),
        ("--category traf\t", '"traffic light" '),
        ("--format coco-p\t", "coco-polygons "),
    ):
        terminal.type(typed)
        terminal.wait(shown)
    terminal.type("\n")
    assert (
        "<segment><photo.jpg><--model><two><--category><traffic light><--format><coco-polygons>done"
    ) in terminal.wait("done")


def test_nothing_is_offered_and_nothing_said_where_no_server_is() -> None:
    for words in (
        "segment --model ",
        "segment --prompts - --model ",
        "segment - --model ",
        "eval ",
    ):
        completed = CliRunner().invoke(
            main,
            env={
                "DIPTYCH_ADDRESS": "127.0.0.1:1",
                "_DIPTYCH_COMPLETE": "bash_complete",
                "COMP_WORDS": f"diptych {words}",
                "COMP_CWORD": str(len(words.split(" "))),
            },
            prog_name="diptych",
        )
        assert completed.exit_code in (0, 1)
        assert not completed.stderr
        assert "plain,one" not in completed.stdout


def test_stats(service: FakeSegmentService) -> None:
    environment = {"DIPTYCH_ADDRESS": service.address}
    shown = CliRunner().invoke(main, ["stats"], env=environment)
    assert shown.exit_code == 0, shown.output
    assert "one" in shown.stdout
    assert "requests answered" in shown.stdout
    listed = CliRunner().invoke(main, ["stats", "--json", "--model", "two"], env=environment)
    (one,) = json.loads(listed.stdout)
    assert one["model_id"] == "two"
    assert one["stats"]["outcomes"]
    some = CliRunner().invoke(main, ["stats", "--model", "one", "--model", "no"], env=environment)
    assert some.exit_code == 1
    assert "diptych: no: " in some.stderr
    assert CliRunner().invoke(main, ["stats", "--model", "no"], env=environment).exit_code == 4
