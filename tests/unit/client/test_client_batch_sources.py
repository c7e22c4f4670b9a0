"""Where a batch finds its pictures and leaves its results: folders, lists, patterns, buckets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pyarrow.parquet
import pytest
from batches import Refusing, fill_bucket, make_album, paths_of, png, rows_of
from click.testing import CliRunner, Result
from pycocotools.coco import COCO

from diptych._batch.sources import Source, open_source
from diptych._batch.storage import RemoteFolder, open_folder
from diptych.cli import main
from diptych.testing import FakeSegmentService

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _buckets() -> Iterator[None]:
    yield
    Refusing.refused.clear()
    for name in ("memory", "refusing"):
        fsspec.filesystem(name).store.clear()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(service: FakeSegmentService, here: Path) -> Run:
    def invoke(source: object, out: object, *more: object) -> Result:
        words = ["batch", source, "--model", "one", "--out", out, *more]
        environment = {"DIPTYCH_ADDRESS": service.address}
        return CliRunner().invoke(main, [str(word) for word in words], env=environment)

    return invoke


def paths(source: Source) -> list[str]:
    return [picture.path for picture in source.pictures]


# Folders, patterns and lists of this machine.


def test_a_folder_has_its_folders(here: Path) -> None:
    make_album(here / "album", 3)
    (here / "album" / ".cache").mkdir()
    (here / "album" / ".cache" / "a.png").write_bytes(png(0))
    (here / "album" / "0" / "back").symlink_to("..")
    (here / "more").mkdir()
    (here / "more" / "A.JPG").write_bytes(png(0))
    (here / "album" / "linked").symlink_to("../more")
    expected = ["album/0/0000.png", "album/1/0001.png", "album/2/0002.png", "album/linked/A.JPG"]
    assert paths(open_source("album")) == expected
    assert paths(open_source("./album/")) == expected
    assert open_source("album").root == "album/"
    assert paths(open_source(f"file://{here}/album")) == [f"{here}/{path}" for path in expected]
    os.chdir(here / "album" / "1")
    assert paths(open_source(".")) == ["0001.png"]


def test_a_pattern(here: Path) -> None:
    make_album(here / "album", 7)
    found = open_source("album/**/*[02].png")
    assert paths(found) == ["album/0/0000.png", "album/2/0002.png"]
    assert found.root == "album/"
    assert paths(open_source("album/1/*")) == ["album/1/0001.png", "album/1/0004.png"]
    (here / "odd[1]").mkdir()
    (here / "odd[1]" / "a.png").write_bytes(png(0))
    assert paths(open_source("odd[1]")) == ["odd[1]/a.png"]


def test_a_list_is_relative_to_itself_and_has_each_once(run: Run, here: Path) -> None:
    make_album(here / "album", 3)
    (here / "lists").mkdir()
    lines = ["../album/0/0000.png", "", "../album/0/0000.png  ", f"{here}/album/1/0001.png"]
    (here / "lists" / "all.txt").write_text("\ufeff" + "\r\n".join([*lines, "../no.png"]))
    done = run("lists/all.txt", "found", "--coco")
    assert done.exit_code == 1, done.output
    assert "lists/all.txt: 1 line is a repetition, and left out" in done.stderr
    assert paths_of(here / "found") == [
        *("lists/../album/0/0000.png", "lists/../no.png", f"{here}/album/1/0001.png"),
    ] or paths_of(here / "found") == sorted(paths_of(here / "found"))
    assert [row["error_code"] for row in rows_of(here / "found")].count("FILE_MISSING") == 1
    assert len(COCO("found/_annotations.json").imgs) == 2


def test_names_of_any_kind(run: Run, here: Path) -> None:
    names = [b"new\nline.png", b"\xff\xfe.png", "e\u0301.png".encode(), "\u00e9.png".encode()]
    names += ["\U0001f600 'q\".png".encode(), b"-.png", b"a\tb.png"]
    (here / "album").mkdir()
    for number, name in enumerate(names):
        Path(os.fsdecode(os.path.join(b"album", name))).write_bytes(png(number))
    assert run("album", "found", "--coco").exit_code == 0
    listed = b"".join(b"album/" + name + b"\0" for name in names)
    (here / "list").write_bytes(listed)
    assert run("list", "from-list").exit_code == 0
    for folder in ("found", "from-list"):
        rows = rows_of(here / folder)
        assert len(rows) == len(names)
        assert not any(row["error_code"] for row in rows)
        assert "album/\\udcff\\udcfe.png" in {row["path"] for row in rows}
    assert len(COCO("found/_annotations.json").imgs) == len(names)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("empty", "empty: expected pictures, got none"),
        ("no-list.bin", "expected a picture, or a list: text in UTF-8"),
        ("archive.zip", "expected a picture, or a list: text in UTF-8"),
        ("long.txt", "expected a picture, or a list: text in UTF-8"),
        ("blank.txt", "blank.txt: expected pictures, got none"),
        ("nowhere", "nowhere: there is no such folder, list or picture"),
        ("nowhere/*.png", "nowhere/*.png: expected pictures, got none"),
        ("/dev/null", "is no regular file"),
        ("memory://nothing", "memory://nothing cannot be listed: it is not there"),
        ("nonsense://bucket", "nonsense://bucket cannot be reached: Protocol not known: nonsense"),
    ],
)
def test_sources_without_pictures(run: Run, here: Path, source: str, said: str) -> None:
    (here / "empty" / "deep").mkdir(parents=True)
    (here / "empty" / "readme.txt").write_text("no picture")
    (here / "no-list.bin").write_bytes(bytes(range(128, 256)))
    (here / "archive.zip").write_bytes(b"PK\x03\x04a\0\0\0b\0\0\0")
    (here / "long.txt").write_text("x" * 5000)
    (here / "blank.txt").write_text("\n \n")
    done = run(source, "found")
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (here / "found").exists()


def test_a_folder_that_cannot_be_listed(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_album(here / "album", 3)
    scan = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("1"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    done = run("album", "found")
    assert done.exit_code == 1
    assert "album/1 cannot be listed: Permission denied" in done.stderr


# Buckets.


@pytest.mark.parametrize("kind", ["memory", "refusing"])
def test_from_bucket_to_bucket(run: Run, service: FakeSegmentService, kind: str) -> None:
    fill_bucket(f"{kind}://photos/in", range(5))
    fsspec.filesystem(kind).pipe_file("/photos/in/broken.png", b"no picture")
    source, out = f"{kind}://photos/in", f"{kind}://photos/out"
    done = run(source, out, "--rows", 2, "--coco")
    assert done.exit_code == 1, done.output
    assert f"{out}: 6 pictures, 5 answered, 1 failed (1 IMAGE_UNREADABLE)" in done.stdout
    fs = fsspec.filesystem(kind)
    names = sorted(name.rpartition("/")[2] for name in fs.ls("/photos/out", detail=False))
    parts = [name for name in names if name.endswith(".parquet")]
    assert names == ["_annotations.json", "_diptych-batch.json", *parts]
    assert len(parts) == 3
    found = [
        path
        for name in parts
        for path in pyarrow.parquet.read_table(fs.open(f"/photos/out/{name}"))["path"].to_pylist()
    ]
    assert sorted(found) == [
        f"{kind}://photos/in/broken.png",
        *(f"{kind}://photos/in/deep/{number:04}.png" for number in range(5)),
    ]
    assert b'"file_name": "deep/0003.png"' in fs.cat_file("/photos/out/_annotations.json")
    count = len(service.requests)
    fs.pipe_file(f"/photos/out/{parts[1]}", fs.cat_file(f"/photos/out/{parts[1]}")[:-9])
    done = run(source, out, "--rows", 2)
    assert f"{parts[1]} is damaged, and is done again" in done.stderr
    assert len(service.requests) == count + 2


def test_patterns_lists_and_single_pictures_of_a_bucket(run: Run, here: Path) -> None:
    fill_bucket("memory://photos", range(4))
    assert paths(open_source("memory://photos/deep/*[13].png")) == [
        "memory://photos/deep/0001.png",
        "memory://photos/deep/0003.png",
    ]
    assert paths(open_source("memory://photos/deep/0002.png")) == ["memory://photos/deep/0002.png"]
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/photos/list.txt", b"deep/0001.png\nmemory://photos/deep/0002.png\nno.png\n")
    assert run("memory://photos/list.txt", "found").exit_code == 1
    assert {row["path"]: row["error_code"] for row in rows_of(here / "found")} == {
        "memory://photos/deep/0001.png": None,
        "memory://photos/deep/0002.png": None,
        "memory://photos/no.png": "FILE_MISSING",
    }


def test_files_too_large_to_be_sent_are_not_read(run: Run, here: Path) -> None:
    fill_bucket("refusing://photos", range(1))
    fs = fsspec.filesystem("refusing")
    fs.pipe_file("/photos/large.jpg", b"\xff\xd8\xff" + bytes(33 * 1024 * 1024))
    fs.cat_file = lambda path: pytest.fail("read") if "large" in path else png(0)
    try:
        assert run("refusing://photos", "found").exit_code == 1
    finally:
        del fs.cat_file
    (large,) = [row for row in rows_of(here / "found") if "large" in row["path"]]
    assert large["error_code"] == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize("what", ["list", "read", "write"])
def test_a_bucket_without_rights(run: Run, here: Path, what: str) -> None:
    fill_bucket("refusing://photos", range(3))
    Refusing.refused.add(what)
    done = run("refusing://photos", "refusing://photos/out" if what == "write" else "found")
    assert done.exit_code == 1
    if what == "list":
        assert "refusing://photos cannot be listed: no right to (Access Denied)" in done.stderr
        assert not (here / "found").exists()
    elif what == "read":
        assert "3 failed (3 FILE_UNREADABLE)" in done.stdout
        assert "cannot be read: no right to (Access Denied)" in done.stderr
        Refusing.refused.clear()
        done = run("refusing://photos", "found", "--retry-failed")
        assert (done.exit_code, len(rows_of(here / "found"))) == (0, 3)
    else:
        assert "refusing://photos/out/_diptych-batch.json cannot be written: no right to" in (
            done.stderr
        )


def test_a_part_that_cannot_be_read_now_is_not_done_again(
    run: Run, here: Path, service: FakeSegmentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_bucket("refusing://photos", range(3))
    assert run("refusing://photos", "refusing://found").exit_code == 0
    fs, opened = fsspec.filesystem("refusing"), Refusing.open

    def cut(self: Refusing, path: str, *args: object) -> object:
        if path.endswith(".parquet"):
            raise OSError("connection reset by peer")
        return opened(self, path, *args)

    monkeypatch.setattr(Refusing, "open", cut)
    done = run("refusing://photos", "refusing://found")
    assert done.exit_code == 1
    assert "000000.parquet cannot be read: connection reset by peer" in done.stderr
    assert len(service.requests) == 3
    assert len(fs.ls("/found")) == 2


def test_an_address_whose_package_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    done = run("s3://bucket/photos", "found")
    assert done.exit_code == 1
    assert "s3://bucket/photos: addresses of s3:// need a package: pip install s3fs" in done.stderr


def test_where_files_do_not_appear_whole_they_are_renamed(here: Path) -> None:
    folder = RemoteFolder(f"dir://deep::file://{here}")
    assert folder.names() == []
    for text in (b"old", b"new"):
        folder.write("part", lambda file, text=text: file.write(text))
    assert folder.names() == ["part"]
    assert folder.open("part").read() == b"new"

    def broken(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="part cannot be written: No space left on device"):
        folder.write("part", broken)
    with pytest.raises(FileExistsError):
        folder.write("part", lambda file: file.write(b"other"), replace=False)
    assert folder.open("part").read() == b"new"
    assert folder.names() == ["part"]


def test_a_local_address_is_a_folder(here: Path) -> None:
    open_folder(f"file://{here}/out").write("a", lambda file: file.write(b"b"))
    assert (here / "out" / "a").read_bytes() == b"b"
