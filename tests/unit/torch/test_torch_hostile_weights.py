"""Files of weights that are made to harm: they end in one sentence, and take no room."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from diptych_runtime.weights import WeightsError, check_safetensors, convert
from diptych_torch.convert import CheckpointError, read_checkpoint
from diptych_torch.weights import CONVERTER

GIB = 1 << 30


def safetensors(header: Any, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [8], "data_offsets": [begin, end]}


FILES = {
    "empty": b"",
    "short": b"\x08",
    "huge header": safetensors({}, length=1 << 62),
    "header of the whole file and more": safetensors({"a": tensor(0, 8)}, b"x" * 8, length=200),
    "deep header": safetensors(b"[" * 100_000),
    "no names": safetensors({"__metadata__": {}}),
    "a list": safetensors([1]),
    "no offsets": safetensors({"a": {}}),
    "a text as tensor": safetensors({"a": "b"}),
    "texts as offsets": safetensors({"a": tensor("x", "y")}),
    "overlap": safetensors({"a": tensor(0, 8), "b": tensor(0, 8)}, b"x" * 8),
    "partial overlap": safetensors({"a": tensor(0, 8), "b": tensor(4, 12)}, b"x" * 12),
    "gap": safetensors({"a": tensor(0, 8), "b": tensor(12, 20)}, b"x" * 20),
    "outside": safetensors({"a": tensor(0, 1 << 50)}, b"x" * 8),
    "backwards": safetensors({"a": tensor(0, 8), "b": tensor(8, 4)}, b"x" * 4),
    "negative": safetensors({"a": tensor(-8, 0)}, b""),
    "left over": safetensors({"a": tensor(0, 8)}, b"x" * 9),
    "not UTF-8": safetensors(b'{"\xff": 1}'),
}


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_header_is_refused_before_its_tensors_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    path.write_bytes(FILES[name])
    with pytest.raises(WeightsError, match=r"evil\.safetensors is not a safetensors file: "):
        check_safetensors(path)


def test_what_the_library_writes_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "good.safetensors"
    save_file({"a": torch.zeros(3), "none": torch.zeros(0), "b": torch.zeros(2, 2)}, path)
    check_safetensors(path)


def deflated(path: Path) -> None:
    """Ten kilobytes that inflate to ten megabytes."""
    whole = path.with_suffix(".whole")
    torch.save({"a": torch.zeros(10 << 18)}, whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))


def expanded(path: Path) -> None:
    """One number that is shown as a terabyte of them."""
    torch.save({"a": torch.zeros(1).expand(1 << 38)}, path)


def many_views(path: Path) -> None:
    whole = torch.zeros(1 << 20)
    torch.save({f"a{n}": whole for n in range(1000)}, path)


@pytest.mark.parametrize("write", [deflated, expanded, many_views])
def test_a_checkpoint_that_would_inflate_is_refused(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "bomb.pt"
    write(path)
    with pytest.raises(CheckpointError, match=r"would inflate to [0-9]+ bytes"):
        read_checkpoint(path)


def test_tied_tensors_are_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "tied.pt"
    whole = torch.zeros(1 << 20)
    torch.save({"a": whole, "b": whole, "c": whole}, path)
    assert len(read_checkpoint(path).state) == 3


def test_an_old_pickle_that_announces_gigabytes_takes_none(tmp_path: Path) -> None:
    """The unpickler of the old form reserves what the pickle says, before any byte is there."""
    path, output = tmp_path / "old.pt", tmp_path / "out.safetensors"
    torch.save({"a": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    announced = content.replace(b"M\xe8\x03", b"\x8a\x06" + (1 << 40).to_bytes(6, "little"))
    assert announced != content
    path.write_bytes(announced)
    before = most_of_children()
    with pytest.raises(WeightsError, match=r"old\.pt could not be converted to safetensors: "):
        convert(path, output, converter=CONVERTER)
    # Processes of other tests may have had more, and it is the most that is told.
    assert most_of_children() <= max(before, 3 * GIB)
    assert list(tmp_path.iterdir()) == [path]


def most_of_children() -> int:
    """Bytes that the largest process had which was started here and has ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


WAITS = "import os, sys, time; open(sys.argv[2], 'w').write(str(os.getpid())); time.sleep(600)"


def test_a_killed_conversion_leaves_nothing_behind_the_next(tmp_path: Path) -> None:
    checkpoint, output = tmp_path / "a.pt", tmp_path / "kept" / "a.safetensors"
    torch.save({"a": torch.zeros(3)}, checkpoint)
    output.parent.mkdir()
    program = (
        "import sys; from pathlib import Path; from diptych_runtime.weights import convert; "
        "convert(Path(sys.argv[1]), Path(sys.argv[2]), "
        f"converter=[sys.executable, '-c', {WAITS!r}])"
    )
    killed = subprocess.Popen([sys.executable, "-c", program, str(checkpoint), str(output)])
    try:
        written = wait_for(lambda: next(output.parent.glob(".*/a.safetensors"), None))
        converter = int(wait_for(written.read_text))
    finally:
        killed.kill()
        killed.wait()
    os.kill(converter, signal.SIGKILL)
    assert [path.name for path in output.parent.iterdir()] == [written.parent.name]
    convert(checkpoint, output, converter=CONVERTER)
    assert [path.name for path in output.parent.iterdir()] == ["a.safetensors"]


def test_the_converter_ends_with_the_process_that_wanted_it() -> None:
    confined = (
        "import time; from pathlib import Path; from diptych_torch.convert import confine; "
        "confine(Path()); import os; print(os.getpid(), flush=True); time.sleep(600)"
    )
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {confined!r}])"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not Path(f"/proc/{child}").exists())


def wait_for(look: Callable[[], Any]) -> Any:
    """The first true answer; a test that waits for ever is ended by its time limit."""
    while not (found := look()):
        time.sleep(0.02)
    return found
