"""What Python and the command line write: whole, and never over what was there or was read."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from clips import frame, make_clip, make_folder, read_back
from PIL import Image

import diptych._files as files
from diptych import Client, Mask, SegmentResult, VideoFileError, VideoWriter
from diptych._files import FileWriter
from diptych.cli import main
from diptych.cli._outputs import _figure_names
from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService

Run = Callable[..., Result]
OLD = b"years of work"


@pytest.fixture
def run(service: FakeSegmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Result:
        words = [str(each) for each in arguments]
        words += ["--model", "one"] if words[0] == "segment" else []
        return CliRunner().invoke(main, words, env={"DIPTYCH_ADDRESS": service.address})

    return invoke


@pytest.fixture
def photo(tmp_path: Path, small_png: bytes) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(small_png)
    return path


@pytest.fixture
def result(service: FakeSegmentService, photo: Path) -> SegmentResult:
    with Client(service.address) as client:
        return client.segment(photo, model="one")


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, with what is in them; links and folders by their names."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {name: path.read_bytes() if path.is_file() else b"" for name, path in found.items()}


def is_png(path: Path) -> bool:
    return Image.open(path).format == "PNG"


# The rule itself.


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(OLD)
    with pytest.raises(FileExistsError, match=r"a\.bin is there already: .*overwrite=True") as told:
        FileWriter().write(path, b"new")
    assert told.value.errno == errno.EEXIST
    assert tree(tmp_path) == {"a.bin": OLD}
    FileWriter(overwrite=True).write(path, b"new")
    assert tree(tmp_path) == {"a.bin": b"new"}


@pytest.mark.parametrize("way", ["itself", "other spelling", "symbolic link", "hard link"])
def test_a_source_is_never_written_to(tmp_path: Path, way: str) -> None:
    source = tmp_path / "photo.jpg"
    source.write_bytes(OLD)
    path = tmp_path / "out.jpg"
    if way == "itself":
        path = source
    elif way == "other spelling":
        path = tmp_path / "." / "x" / ".." / "photo.jpg"
        (tmp_path / "x").mkdir()
    elif way == "symbolic link":
        path.symlink_to(source)
    else:
        os.link(source, path)
    before = tree(tmp_path)
    with pytest.raises(FileExistsError, match="the source itself, which is never overwritten"):
        FileWriter(overwrite=True, sources=[source]).write(path, b"new")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("stage", ["write", "link"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_is_left_of_a_write_that_breaks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    error: BaseException,
    overwrite: bool,
) -> None:
    path = tmp_path / "a.bin"
    if overwrite:
        path.write_bytes(OLD)

    def broken(place: Path, data: bytes) -> None:
        with place.open("wb") as half:
            half.write(data[:1])
        raise error

    def refused(*names: object) -> None:
        raise error

    if stage == "write":
        monkeypatch.setattr(Path, "write_bytes", broken)
    else:
        monkeypatch.setattr(files.os, "replace" if overwrite else "link", refused)
    wanted = "a.bin cannot be written: No space left" if isinstance(error, OSError) else None
    with pytest.raises(type(error), match=wanted):
        FileWriter(overwrite=overwrite).write(path, b"new")
    monkeypatch.undo()
    assert tree(tmp_path) == ({"a.bin": OLD} if overwrite else {})


def test_a_file_that_appears_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    monkeypatch.setattr(files, "_temporary", lambda folder: path.write_bytes(OLD) and folder / "t")
    writer = FileWriter()
    writer._writable.add(tmp_path)
    with pytest.raises(FileExistsError, match="appeared meanwhile, and is left alone"):
        writer.write(path, b"new")
    assert tree(tmp_path) == {"a.bin": OLD}


def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*names: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(files.os, "link", refused)
    FileWriter().write(tmp_path / "a.bin", b"new")
    with pytest.raises(FileExistsError):
        FileWriter().write(tmp_path / "a.bin", b"newer")
    assert tree(tmp_path) == {"a.bin": b"new"}


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_modes_are_those_of_the_umask_or_of_the_file_that_was_there(
    tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        FileWriter().write(tmp_path / "new", b"new")
        (tmp_path / "old").touch(0o640)
        (tmp_path / "old").chmod(0o640)
        FileWriter(overwrite=True).write(tmp_path / "old", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o640


def test_links_are_followed_when_they_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "behind").write_bytes(OLD)
    (tmp_path / "link").symlink_to("behind")
    (tmp_path / "loose").symlink_to("nothing yet")
    for name in ("link", "loose"):
        with pytest.raises(FileExistsError, match="is there already"):
            FileWriter().write(tmp_path / name, b"new")
        FileWriter(overwrite=True).write(tmp_path / name, b"new")
        assert (tmp_path / name).is_symlink()
    assert (tmp_path / "behind").read_bytes() == (tmp_path / "nothing yet").read_bytes() == b"new"


def test_what_is_no_file_of_its_own_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "kept").write_bytes(OLD)
    (tmp_path / "kept").chmod(0o444)
    writer = FileWriter(overwrite=True)
    with pytest.raises(FileExistsError, match="no regular file"):
        writer.write(tmp_path / "pipe", b"new")
    with pytest.raises(PermissionError, match="write-protected"):
        writer.write(tmp_path / "kept", b"new")
    with pytest.raises(FileExistsError, match="no regular file"):
        writer.check("/dev/null")
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "kept").read_bytes() == OLD


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("folder", IsADirectoryError, "is a folder: expected the name of a file"),
        ("missing/a", FileNotFoundError, "there is no folder"),
        ("file/a", FileNotFoundError, "there is no folder"),
        ("n" * 300, OSError, "cannot be written: File name too long"),
    ],
)
def test_places_that_cannot_be_written(
    tmp_path: Path, name: str, kind: type[OSError], text: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(OLD)
    before = tree(tmp_path)
    for step in (FileWriter().check, lambda path: FileWriter().write(path, b"new")):
        with pytest.raises(kind, match=text):
            step(tmp_path / name)
    with pytest.raises(NotADirectoryError, match="is a file: expected a folder"):
        FileWriter(make_folders=True).check(tmp_path / "file" / "x" / "a")
    assert tree(tmp_path) == before


def test_folders_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files.os, "open", refused)
    with pytest.raises(OSError, match=r"nothing can be written in .*: Read-only file system"):
        FileWriter().check(tmp_path / "a")


# Python.


def test_save_overwrites_only_if_told_to(tmp_path: Path, result: SegmentResult) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(OLD)
    with pytest.raises(FileExistsError, match="is there already"):
        result.save(path)
    assert path.read_bytes() == OLD
    result.save(path, overwrite=True)
    assert is_png(path)


@pytest.mark.parametrize("how", ["path", "picture", "file"])
def test_save_knows_its_image(
    photo: Path, result: SegmentResult, small_png: bytes, how: str
) -> None:
    with photo.open("rb") as opened, Image.open(photo) as picture:
        image = {"path": str(photo), "picture": picture, "file": opened}[how]
        with pytest.raises(FileExistsError, match="the source itself"):
            result.save(photo, image=image, overwrite=True)  # type: ignore[arg-type]
    assert photo.read_bytes() == small_png


def test_save_writes_to_the_name_that_it_is_given(tmp_path: Path, result: SegmentResult) -> None:
    (tmp_path / "side.png").write_bytes(OLD)
    with pytest.raises(ValueError, match=r"path: expected a suffix of .*png.*, got 'side'"):
        result.save("side")
    result.save(tmp_path / "SIDE.PNG")
    assert is_png(tmp_path / "SIDE.PNG")
    assert (tmp_path / "side.png").read_bytes() == OLD


def test_a_clip_overwrites_only_if_told_to(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", 3)
    old = path.read_bytes()
    with pytest.raises(FileExistsError, match="is there already"):
        VideoWriter(path)
    with VideoWriter(path, overwrite=True) as writer:
        for index in range(5):
            writer.write(frame(index))
        assert path.read_bytes() == old  # until the new one is whole
    assert len(read_back(path)) == 5
    assert [one.name for one in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_clip_that_breaks_replaces_nothing(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", 3)
    old = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 255, (60, 64, 96, 3), dtype=np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # as a full disk
    try:
        with (  # noqa: PT012
            pytest.raises(VideoFileError, match=r"clip.mp4: cannot be written"),
            VideoWriter(path, overwrite=True) as writer,
        ):
            for pixels in noise:
                writer.write(pixels)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with VideoWriter(path, overwrite=True):
        pass
    assert tree(tmp_path) == {"clip.mp4": old}


def test_a_clip_leaves_what_appeared_before_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path) as writer:
        path.write_bytes(OLD)
        with pytest.raises(FileExistsError):
            writer.write(frame(0))
    assert path.read_bytes() == OLD


# The command line: refused before anything is asked.


@pytest.mark.parametrize("command", ["segment", "compare"])
@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_picture_is_not_drawn_over(
    run: Run, photo: Path, service: FakeSegmentService, command: str, more: list[str]
) -> None:
    before = tree(photo.parent)
    done = run(command, photo, "--out", photo, *more)
    assert done.exit_code == 2
    assert "photo.png is the source itself" in " ".join(done.stderr.split())
    assert service.requests == ()
    assert tree(photo.parent) == before


@pytest.mark.parametrize("command", ["segment", "compare"])
def test_no_file_that_the_command_reads_is_drawn_over(
    run: Run, photo: Path, service: FakeSegmentService, command: str
) -> None:
    guess = photo.parent / "guess.png"
    guess.write_bytes(Mask.from_array(np.eye(40, 60)).to_png())
    token = photo.parent / "token.png"
    token.write_text("diptych_x")
    before = tree(photo.parent)
    files = ("--mask", guess, "--token-file", token, "--no-tls")
    for out in (guess, token):
        done = run(command, photo, *files, "--out", out, "--overwrite")
        assert done.exit_code == 2
        assert "is the source itself" in " ".join(done.stderr.split())
    assert service.requests == ()
    assert tree(photo.parent) == before


@pytest.mark.parametrize("command", ["segment", "compare"])
def test_a_file_that_is_there_is_kept(
    run: Run, photo: Path, service: FakeSegmentService, command: str
) -> None:
    out = photo.parent / "out.png"
    out.write_bytes(OLD)
    done = run(command, photo, "--out", out)
    assert done.exit_code == 2
    assert "out.png is there already" in " ".join(done.stderr.split())
    assert "--overwrite" in done.stderr
    assert service.requests == ()
    assert out.read_bytes() == OLD
    assert run(command, photo, "--out", out, "--overwrite").exit_code == 0
    assert is_png(out)


@pytest.mark.parametrize(
    ("command", "name"),
    [("segment", "photo.jpg.segments.png"), ("compare", "photo.jpg.compare.png")],
)
def test_a_figure_in_a_folder_is_named_after_its_picture(
    run: Run, tmp_path: Path, small_png: bytes, command: str, name: str
) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(small_png)
    (folder / "photo.png").write_bytes(OLD)
    assert run(command, "d/photo.jpg", "--out", "d").exit_code == 0
    assert (folder / "photo.png").read_bytes() == OLD
    assert is_png(folder / name)
    assert run(command, "d/photo.jpg", "--out", "d").exit_code == 2
    assert run(command, "d/photo.jpg", "--out", "new/").exit_code == 0
    assert is_png(tmp_path / "new" / name)


def test_many_figures_are_named_after_their_pictures(
    run: Run, tmp_path: Path, small_png: bytes
) -> None:
    for name in ("x/a.png", "x/a.jpg", "y/a.png", "y/deep/a.png", "y/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(small_png)
    done = run("segment", "x", "y", "y/deep/a.png", "y/./b.png", "--out", "r", "--json")
    said = "diptych: y: 1 folder left out\ndiptych: 6 ok, 0 failed\n"
    assert (done.exit_code, done.stderr) == (0, said)
    sources = [json.loads(line)["source"] for line in done.stdout.splitlines()]
    assert sources == ["x/a.jpg", "x/a.png", "y/a.png", "y/b.png", "y/deep/a.png", "y/b.png"]
    assert sorted(name for name in tree(tmp_path / "r") if name.endswith(".png")) == [
        "a.jpg.segments.png",
        "b.png.segments.png",
        "x/a.png.segments.png",
        "y/a.png.segments.png",
        "y/deep/a.png.segments.png",
    ]


def test_names_that_file_systems_may_not_tell_apart() -> None:
    both = [Path("d/A.png"), Path("d/a.png"), Path("d/é.png"), Path("d/e\u0301.png")]
    names = [str(name) for name in _figure_names(both, "segments")]
    assert names == [
        "A.png.segments.png",
        "a.png.segments-2.png",
        "é.png.segments.png",
        "e\u0301.png.segments-2.png",
    ]


def test_names_that_would_be_too_long_are_cut(tmp_path: Path) -> None:
    names = _figure_names([Path("ä" * 120 + end + ".png") for end in ("ab", "ac")], "segments")
    assert len(set(names)) == 2
    for name in names:
        assert len(os.fsencode(name)) <= 255
        assert str(name).startswith("ä" * 100)
        assert str(name).endswith(".segments.png")
        FileWriter().write(tmp_path / name, b"")


def test_figures_are_no_pictures_of_the_next_run(run: Run, photo: Path) -> None:
    folder = photo.parent
    (folder / "b.segments.png").write_bytes(photo.read_bytes())  # nobody's figure
    assert run("segment", folder, "--out", folder).exit_code == 0
    done = run("segment", folder, "--out", folder, "--overwrite", "--json")
    assert done.exit_code == 0
    left_out = f"diptych: {folder}: 2 figures of pictures left out"
    assert done.stderr == f"{left_out}\ndiptych: 2 ok, 0 failed\n"
    sources = [Path(json.loads(line)["source"]).name for line in done.stdout.splitlines()]
    assert sources == ["b.segments.png", "photo.png"]


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
@pytest.mark.parametrize("form", ["json", "lines"])
def test_names_that_are_no_text_are_told(
    run: Run,
    service: FakeSegmentService,
    tmp_path: Path,
    small_png: bytes,
    errors: str,
    form: str,
) -> None:
    for name in (b"ph\xff\no.png", "\N{OX} \xe4.png".encode()):
        (tmp_path / os.fsdecode(name)).write_bytes(small_png)
    before = set(tree(tmp_path))
    words = ["segment", str(tmp_path), "--model", "one", "--out", str(tmp_path), "--overwrite"]
    assert run(*words).exit_code == 0  # the next run finds this one's figures
    done = subprocess.run(
        [sys.executable, "-m", "diptych.cli", *words, *(["--json"] if form == "json" else [])],
        capture_output=True,
        env={
            **os.environ,
            "DIPTYCH_ADDRESS": service.address,
            "PYTHONIOENCODING": f"latin-1:{errors}",
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(tree(tmp_path)) == before | {f"{name}.segments.png" for name in before}
    if form == "json":
        told = [json.loads(line)["source"] for line in done.stdout.splitlines()]
        assert {Path(source).name for source in told} == before
    else:
        assert done.stdout.count(b": one: 1 object") == 2


@pytest.mark.parametrize(
    ("out", "text"),
    [
        ("two.png", "expected a folder for the figures of 2 pictures, got 'two.png'"),
        ("two.tif", "with a / at the end it is one"),
        ("photo.png", "expected a folder for the figures of 2 pictures, got 'photo.png'"),
        ("plain", "got the file 'plain'"),
        ("plain/", "got the file 'plain/'"),
        ("-", "got stdout"),
        ("", "expected a name, got an empty one"),
    ],
)
def test_many_pictures_need_a_folder(
    run: Run, photo: Path, service: FakeSegmentService, out: str, text: str
) -> None:
    shutil.copy(photo, photo.parent / "b.png")
    (photo.parent / "plain").write_bytes(OLD)
    before = tree(photo.parent)
    done = run("segment", photo, "b.png", "--out", out, "--overwrite")
    assert done.exit_code == 2
    assert text in " ".join(done.stderr.split())
    assert service.requests == ()
    assert tree(photo.parent) == before


@pytest.mark.parametrize("out", ["two.png/", "run-1.5", "plain"])
def test_folders_are_made_when_they_are_needed(
    run: Run, photo: Path, service: FakeSegmentService, out: str
) -> None:
    shutil.copy(photo, photo.parent / "b.png")
    service.fail("MODEL_LOADING", times=2)
    command = ("segment", photo, "b.png", "--out", out)
    assert run(*command).exit_code == 3
    assert not Path(out).exists()
    assert run(*command).exit_code == 0
    assert sorted(tree(Path(out))) == ["b.png.segments.png", "photo.png.segments.png"]


def test_one_figure_that_is_there_stops_all(
    run: Run, photo: Path, service: FakeSegmentService
) -> None:
    shutil.copy(photo, photo.parent / "b.png")
    Path("r").mkdir()
    Path("r/b.png.segments.png").write_bytes(OLD)
    done = run("segment", photo, "b.png", "--out", "r")
    assert done.exit_code == 2
    assert service.requests == ()
    assert tree(Path("r")) == {"b.png.segments.png": OLD}


def test_a_figure_that_cannot_be_written_stops_no_other(
    run: Run, photo: Path, service: FakeSegmentService
) -> None:
    shutil.copy(photo, photo.parent / "b.png")
    place = Path("r/b.png.segments.png")

    def answer(asked: object) -> list[object]:
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(OLD)  # by another program, while this one waits
        return []

    service.answer_with(answer, model="one")
    done = run("segment", "b.png", photo, "--out", "r", "--jobs", 1)
    assert done.exit_code == 1
    assert done.stderr.startswith("diptych: b.png: r/b.png.segments.png is there already")
    assert len(done.stdout.splitlines()) == 2
    assert place.read_bytes() == OLD
    assert is_png(Path("r/photo.png.segments.png"))


def test_overwrite_alone_is_wrong_usage(run: Run, photo: Path) -> None:
    clip = make_clip(photo.parent / "clip.mp4", 2)
    for command in (["segment", photo], ["compare", photo], ["video", clip, "--track-all"]):
        done = run(*command, "--overwrite")
        assert done.exit_code == 2
        assert "--overwrite: expected only with --out" in done.stderr
    assert run("cards", "--overwrite").exit_code == 2


@pytest.mark.parametrize("command", ["segment", "compare"])
def test_places_are_looked_at_first(
    run: Run, photo: Path, service: FakeSegmentService, command: str
) -> None:
    Path("dir.png").mkdir()
    for out in ("no/such/x.png", "photo.png/x.png", "n" * 300 + ".png", "x.tiff", "x"):
        assert run(command, photo, "--out", out).exit_code == 2
    assert service.requests == ()
    assert run(command, photo, "--out", "dir.png").exit_code == 0
    assert len(list(Path("dir.png").iterdir())) == 1


def test_a_missing_extra_is_told_first(
    run: Run, photo: Path, service: FakeSegmentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    monkeypatch.delitem(sys.modules, "diptych._drawing.plot", raising=False)
    monkeypatch.delattr("diptych._drawing.plot", raising=False)
    done = run("segment", photo, "--out", "x.png")
    assert done.exit_code == 1
    assert done.stderr == "diptych: plot and save need an extra: pip install 'diptych[viz]'\n"
    assert service.requests == ()


@pytest.mark.parametrize("command", ["segment", "compare"])
def test_who_reads_only_the_first_line_gets_the_figure(
    service: FakeSegmentService, photo: Path, tmp_path: Path, command: str
) -> None:
    out = tmp_path / "out.png"
    words = [
        command,
        str(photo),
        "--model",
        "one",
        "--json",
        "--out",
        str(out),
        "--address",
        service.address,
    ]
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [sys.executable, "-m", "diptych.cli", *words, "--address", service.address],
        stdout=writes,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writes)
    assert done.stderr == b""
    assert is_png(out)


def test_a_clip_is_not_written_over(run: Run, tmp_path: Path, service: FakeSegmentService) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 3)
    folder = make_folder(tmp_path / "frames", 3)
    (tmp_path / "link.mp4").symlink_to(clip)
    os.link(clip, tmp_path / "hard.mp4")
    (tmp_path / "linked").symlink_to(folder)
    before = tree(tmp_path)
    for source, out in (
        (clip, clip),
        (clip, "link.mp4"),
        (clip, "hard.mp4"),
        (f"file://{clip}", clip),
        (folder, folder),
        (folder, "linked"),
    ):
        done = run("video", source, "--track-all", "--out", out, "--overwrite")
        assert done.exit_code == 2
        assert "the source itself" in " ".join(done.stderr.split())
    assert service.video_requests == ()
    assert tree(tmp_path) == before


def test_clips_and_frames_that_are_there_are_kept(
    run: Run, tmp_path: Path, service: FakeSegmentService
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 3)
    (tmp_path / "out.mp4").write_bytes(OLD)
    (tmp_path / "pngs").mkdir()
    (tmp_path / "pngs" / "000002.png").write_bytes(OLD)
    (tmp_path / "pngs" / "000003.png").write_bytes(OLD)  # behind the last frame
    command = ("video", clip, "--model", "one", "--box", "0:1,1,20,20")
    for out in ("out.mp4", "pngs"):
        done = run(*command, "--out", out)
        assert done.exit_code == 2
        assert "is there already" in " ".join(done.stderr.split())
    assert service.video_requests == ()
    for out in ("out.mp4", "pngs", "new/deep"):
        assert run(*command, "--out", out, "--overwrite").exit_code == 0
    assert len(read_back(tmp_path / "out.mp4")) == 3
    assert is_png(tmp_path / "pngs" / "000002.png")
    assert (tmp_path / "pngs" / "000003.png").read_bytes() == OLD
    assert len(tree(tmp_path / "new" / "deep")) == 3


@pytest.mark.parametrize("out", ["-", "", "out.avi", "file", "no/such/out.mp4"])
def test_where_clips_are_not_written(
    run: Run, tmp_path: Path, service: FakeSegmentService, out: str
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 2)
    (tmp_path / "file").write_bytes(OLD)
    before = tree(tmp_path)
    assert run("video", clip, "--track-all", "--out", out, "--overwrite").exit_code == 2
    assert service.video_requests == ()
    assert tree(tmp_path) == before


def test_cards_that_are_there_are_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "README.md").write_bytes(OLD)
    done = run("cards", "--write", ".")
    assert done.exit_code == 2
    assert "two/README.md is there already" in " ".join(done.stderr.split())
    assert tree(tmp_path) == {"two": b"", "two/README.md": OLD}
    assert run("cards", "--write", ".", "--overwrite").exit_code == 0
    assert b"Nobody" in (tmp_path / "two" / "README.md").read_bytes()
    assert (tmp_path / "one" / "README.md").exists()


def test_the_mask_prompt_is_sent(run: Run, photo: Path, service: FakeSegmentService) -> None:
    """A mask in the same folder is no output: it is read as ever."""
    Path("guess.png").write_bytes(Mask.from_array(np.eye(40, 60)).to_png())
    assert run("segment", photo, "--mask", "guess.png", "--out", "x.png").exit_code == 0
    assert service.requests[0].task == pb.Task.TASK_PROMPTED_SEGMENTATION
