"""Features on a disk: found again by the same model alone, whole or not at all, within a budget."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from keeping_engine import KeepingFake

from diptych import SegmentResult, Task
from diptych_runtime.engine import Features, LoadError
from diptych_runtime.runner import Runner
from diptych_runtime.settings import RuntimeSettings
from diptych_runtime.worker.features_folder import FeaturesFolder, KeptPicture

Start = Callable[..., Runner]
KIND = "image"


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The calls of the engine, a line each."""
    file = tmp_path / "log"
    file.touch()
    monkeypatch.setenv("FAKE_LOG", str(file))
    return file


@pytest.fixture
def start(tmp_path: Path, log: Path) -> Iterator[Start]:
    """Starts a model with a folder, as a restarted service would."""
    runners: list[Runner] = []

    def started(**settings: object) -> Runner:
        made = RuntimeSettings(features_dir=tmp_path / "kept", **settings)  # type: ignore[arg-type]
        runners.append(Runner("keeping_engine:create", made))
        return runners[-1]

    yield started
    for runner in runners:
        runner.close()


def picture(seed: int, side: int = 32) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Noise that asks the fake engine for nothing special."""
    pixels = np.random.default_rng(seed).integers(0, 250, (side, side, 3), dtype=np.uint8)
    pixels[0, 0] = 7
    return pixels


def ask(runner: Runner, seed: int) -> SegmentResult:
    return runner.segment(picture(seed), points=[(5, 5)], jpeg_quality=None)


def written(runner: Runner) -> None:
    """Wait for the disk."""
    kept = runner._context.kept
    assert kept is not None
    kept.flush()


def encoded(log: Path) -> int:
    return len(re.findall("^embed", log.read_text(), re.MULTILINE))


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "kept").rglob("*.features"))


def test_a_picture_of_yesterday_needs_no_encoder(start: Start, log: Path) -> None:
    before = start()
    first = [ask(before, seed) for seed in range(5)]
    written(before)
    after = start()
    again = [ask(after, seed) for seed in range(5)]
    assert encoded(log) == 5
    assert [result.segments for result in again] == [result.segments for result in first]
    assert all(result.provenance[0].image_cache_hit for result in again)
    assert not any(result.provenance[0].image_cache_hit for result in first)


def test_features_of_one_encoder_are_not_those_of_another(start: Start, log: Path) -> None:
    before = start()
    ask(before, 1)
    written(before)
    after = start()
    after.segment(picture(1), task=Task.OBJECT_DETECTION, jpeg_quality=None)
    assert encoded(log) == 2


@pytest.mark.parametrize(("name", "value"), [("FAKE_WEIGHTS", "v"), ("FAKE_TIER", "fast")])
def test_another_model_does_not_take_them(
    start: Start, log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    before = start()
    ask(before, 1)
    written(before)
    (mine,) = files(tmp_path)
    monkeypatch.setenv(name, value)
    other = start()
    ask(other, 1)
    written(other)
    assert encoded(log) == 2
    # Nor if a file of the one is laid where that of the other is looked for.
    theirs = next(path for path in files(tmp_path) if path != mine)
    theirs.write_bytes(mine.read_bytes())
    ask(start(), 1)
    assert encoded(log) == 3


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "its beginning": lambda data: data[:100],
    "half": lambda data: data[: len(data) // 2],
    "one byte more": lambda data: data + b"\0",
    "one byte less": lambda data: data[:-1],
    "a bit of the label": lambda data: data.replace(b"\n", b"\n\x01", 1)[:-1],
    "a bit at the end": lambda data: data[:-30] + b"\x01" + data[-29:],
    "a head without an end": lambda data: data.replace(b"\n", b" ", 1),
    "no JSON": lambda data: b"x" + data[1:],
    "another list of blocks": lambda data: re.sub(rb'"blocks": \[\d+', b'"blocks": [99', data),
    "endless head": lambda data: b"{" * 200_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_not_used(start: Start, log: Path, tmp_path: Path, damage: str) -> None:
    before = start()
    first = ask(before, 1)
    written(before)
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    after = start()
    assert ask(after, 1).segments == first.segments
    assert encoded(log) == 2
    written(after)
    assert file.read_bytes() == whole  # written anew
    ask(start(), 1)
    assert encoded(log) == 2


def test_the_budget_holds_and_what_was_used_stays(start: Start, log: Path, tmp_path: Path) -> None:
    before = start()
    ask(before, 0)
    written(before)
    (file,) = files(tmp_path)
    # A budget is of a mebibyte at least, so files are made larger.
    size, room = 100_000, 1024 * 1024
    for path in files(tmp_path):
        os.truncate(path, size)
    names = [file.with_name(f"{index:064x}-image.features") for index in range(10)]
    for index, name in enumerate(names):
        name.write_bytes(bytes(size))
        os.utime(name, (index, index))
    after = start(features_bytes=room)
    for seed in range(100, 104):
        ask(after, seed)
        written(after)
        assert sum(path.stat().st_size for path in files(tmp_path)) <= room
    left = [name for name in names if name.exists()]
    assert left == names[-len(left) :]  # the longest unused went
    assert left


def test_a_used_picture_is_not_the_next_to_go(start: Start, tmp_path: Path) -> None:
    before = start()
    ask(before, 1)
    written(before)
    (file,) = files(tmp_path)
    os.utime(file, (1, 1))
    ask(start(), 1)
    assert file.stat().st_mtime > 1


def test_no_unfinished_file_is_left_or_read(start: Start, tmp_path: Path) -> None:
    runner = start()
    for seed in range(3):
        ask(runner, seed)
    written(runner)
    everything = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert sorted(everything) == files(tmp_path)


def test_a_smaller_limit_of_pixels_holds_for_kept_pictures(start: Start) -> None:
    before = start()
    ask(before, 1)
    written(before)
    with pytest.raises(Exception, match="expected at most 900 pixels, got 32 x 32"):
        ask(start(max_image_px=900), 1)


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = RuntimeSettings(features_dir=tmp_path / "file" / "kept")
    with pytest.raises(LoadError, match=r"DIPTYCH_FEATURES_DIR=.*expected a folder to write to"):
        Runner("keeping_engine:create", settings)


def test_a_model_that_keeps_nothing_works_without(tmp_path: Path) -> None:
    with Runner("fake_engine:create", RuntimeSettings(features_dir=tmp_path)) as runner:
        assert ask(runner, 1).segments
    assert not list(tmp_path.iterdir())


class _Stuck(KeepingFake):
    """Packing fails, as on a full disk."""

    def pack(self, features: Features) -> tuple[str, list[memoryview]]:
        raise OSError(28, "No space left on device")


def test_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    engine = _Stuck()
    folder = FeaturesFolder(tmp_path, 1 << 20, engine, engine.load())
    for digest in ("a" * 64, "b" * 64):
        folder.write(digest, KeptPicture(KIND, Features(None, 1), (1, 1), ()))
    folder.flush()
    assert folder.read("a" * 64, KIND) is None


def test_others_cannot_read_it(start: Start, tmp_path: Path) -> None:
    runner = start()
    ask(runner, 1)
    written(runner)
    (file,) = files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
