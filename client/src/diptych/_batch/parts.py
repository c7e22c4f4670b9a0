"""The parts of a batch: Parquet files, each whole, that together have each picture once."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from .rows import Row, table_of, write_table
from .sources import Picture
from .storage import Folder, need

_NAME = re.compile(r"part-(\d+)-of-(\d+)-(\d+)\.parquet")
_READ_AT_A_TIME = 8


@dataclass(frozen=True)
class Shard:
    """The share of the pictures that one process asks."""

    index: int = 0
    count: int = 1

    def has(self, picture: Picture) -> bool:
        """Whether it is one of this shard's, by its path alone."""
        digest = hashlib.sha256(picture.path.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index


@dataclass(frozen=True)
class Part:
    """A finished part."""

    name: str
    paths: tuple[str, ...]
    failed: dict[str, str]
    """Codes of the errors of those that failed, by their paths."""


@dataclass(frozen=True)
class Finished:
    """What is there already."""

    parts: tuple[Part, ...] = ()
    damaged: tuple[str, ...] = ()
    """Names of files that are no whole parts: their pictures are asked again."""

    @property
    def paths(self) -> set[str]:
        """Pictures that have a row."""
        return {path for part in self.parts for path in part.paths}


@dataclass(frozen=True)
class Unit:
    """What is asked and written at a time."""

    name: str
    pictures: tuple[Picture, ...]
    rewrites: bool = False
    """The part is there, with rows of other pictures, which are kept."""


@dataclass
class Parts:
    """The parts in a folder, of all shards."""

    folder: Folder
    shard: Shard = field(default_factory=Shard)

    def finished(self) -> Finished:
        """Read which pictures have a row; files that were cut off are told apart.

        Raises:
            OSError: the folder cannot be read.
        """
        names = [name for name in self.folder.names() if _NAME.fullmatch(name)]
        with ThreadPoolExecutor(_READ_AT_A_TIME) as pool:
            read = list(pool.map(self._read, names))
        found = [part for part in read if part is not None]
        damaged = [name for name, part in zip(names, read, strict=True) if part is None]
        return Finished(tuple(found), tuple(damaged))

    def units(
        self,
        pictures: Sequence[Picture],
        finished: Finished,
        rows: int,
        *,
        retry_failed: bool = False,
    ) -> list[Unit]:
        """What is left to do of this shard, ``rows`` pictures at a time.

        With ``retry_failed`` those that failed are asked once more, and their parts written anew.
        """
        units = self._failed_units(pictures, finished) if retry_failed else []
        done, shard = finished.paths, self.shard
        left = [one for one in pictures if one.path not in done and shard.has(one)]
        names = self._free_names({part.name for part in finished.parts})
        for start in range(0, len(left), rows):
            units.append(Unit(next(names), tuple(left[start : start + rows])))
        return units

    def _failed_units(self, pictures: Sequence[Picture], finished: Finished) -> list[Unit]:
        by_path = {picture.path: picture for picture in pictures}
        units: list[Unit] = []
        for part in finished.parts:
            # By one shard only, also if the part is of another number of them.
            if int(part.name.split("-")[1]) % self.shard.count != self.shard.index:
                continue
            failed = tuple(by_path[path] for path in part.failed if path in by_path)
            if failed:
                units.append(Unit(part.name, failed, rewrites=True))
        return units

    def write(self, unit: Unit, rows: Sequence[Row]) -> None:
        """Write the part of a unit, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        table = table_of(rows)
        if unit.rewrites:
            table = self._with_kept(table, unit)
        self.folder.write(unit.name, lambda file: write_table(table, file))

    def tables(self, names: Iterable[str], columns: list[str] | None = None) -> Iterator[Any]:
        """The tables of parts, one after the other."""
        for name in names:
            with self.folder.open(name) as file:
                yield need("pyarrow.parquet").read_table(file, columns=columns)

    def _read(self, name: str) -> Part | None:
        """A finished part, ``None`` for a file that is no whole one."""
        columns = ["path", "error_code"]
        try:
            (table,) = self.tables([name], columns)
        except Exception:
            # Of the storage or of the file? What can be read whole and is no Parquet is damaged.
            with self.folder.open(name) as file:
                data = file.read()
            try:
                table = need("pyarrow.parquet").read_table(io.BytesIO(data), columns=columns)
            except Exception:  # broken files lead Arrow to errors of many kinds
                return None
        if table.column_names != columns:
            return None
        paths, codes = (column.to_pylist() for column in table.columns)
        failed = {path: code for path, code in zip(paths, codes, strict=True) if code}
        return Part(name, tuple(paths), failed)

    def _with_kept(self, table: Any, unit: Unit) -> Any:
        pa, compute = need("pyarrow"), need("pyarrow.compute")
        asked = pa.array([picture.path for picture in unit.pictures], pa.string())
        (old,) = self.tables([unit.name])
        kept = old.filter(compute.invert(compute.is_in(old["path"], value_set=asked)))
        return pa.concat_tables([kept.cast(table.schema), table])

    def _free_names(self, taken: Collection[str]) -> Iterator[str]:
        number = 0
        while True:
            shard = f"{self.shard.index:04}-of-{self.shard.count:04}"
            name = f"part-{shard}-{number:06}.parquet"
            number += 1
            if name not in taken:
                yield name
