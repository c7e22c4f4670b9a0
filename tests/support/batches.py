"""Batches of tiny pictures, each of which has bytes of its own, and their results."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from diptych.testing import FakeSegmentService


def png(number: int) -> bytes:
    """30 rows, 40 columns, in a colour that tells the number."""
    file = io.BytesIO()
    colour = (number % 256, number // 256 % 256, number // 65536)
    Image.new("RGB", (40, 30), colour).save(file, "PNG")
    return file.getvalue()


def make_album(folder: Path, count: int, start: int = 0) -> Path:
    """A folder of numbered pictures, in three folders of it."""
    for number in range(start, start + count):
        place = folder / str(number % 3) / f"{number:04}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png(number))
    return folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """All rows of a folder's parts, by path."""
    found: list[dict[str, Any]] = []
    for part in sorted(folder.glob("*.parquet")):
        found += pyarrow.parquet.read_table(part).to_pylist()
    return sorted(found, key=lambda row: str(row["path"]))


def paths_of(folder: Path) -> list[str]:
    return [row["path"] for row in rows_of(folder)]


def asked(service: FakeSegmentService) -> Counter[bytes]:
    """How often each picture was asked."""
    return Counter(request.image.encoded for request in service.requests)


def names_of(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


class Refusing(MemoryFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """A bucket that some may not list, read or write; its names are ``refusing://BUCKET/…``."""

    protocol = "refusing"
    store: dict[str, Any] = {}  # noqa: RUF012  as in the class that it is from
    pseudo_dirs = [""]  # noqa: RUF012
    refused: set[str] = set()  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("refusing://", "memory://")))

    def unstrip_protocol(self, name: str) -> str:
        return f"refusing:/{self._strip_protocol(name)}"

    def _refuse(self, what: str) -> None:
        if what in self.refused:
            raise PermissionError("Access Denied")

    def info(self, path: str, **options: Any) -> Any:
        self._refuse("list")
        return super().info(path, **options)

    def cat_file(self, path: str, *args: Any, **options: Any) -> Any:
        self._refuse("read")
        return super().cat_file(path, *args, **options)

    def put_file(self, lpath: str, rpath: str, **options: Any) -> Any:
        self._refuse("write")
        return super().put_file(lpath, rpath, **options)


fsspec.register_implementation("refusing", Refusing, clobber=True)


def fill_bucket(url: str, pictures: Iterable[int]) -> None:
    """Numbered pictures below an address."""
    fs, root = fsspec.core.url_to_fs(url)
    for number in pictures:
        fs.makedirs(f"{root}/deep", exist_ok=True)
        fs.pipe_file(f"{root}/deep/{number:04}.png", png(number))
