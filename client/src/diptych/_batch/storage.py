"""Where pictures are and results go: this machine's files, and whatever fsspec reaches."""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from .._files import FileWriter
from .._types.errors import DiptychError, MissingExtraError

# What is put there appears whole or not at all, and a rename would copy it.
_PUT_WHOLE = frozenset(
    {"abfs", "abfss", "adl", "az", "gcs", "gs", "memory", "oci", "oss", "s3", "s3a"}
)
_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("abfs", "abfss", "az"), "adlfs"),
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
}
_UNFINISHED = ".diptych-????????????.part"
_STALE_S = 3600
Fill = Callable[[IO[bytes]], object]


def need(module: str) -> Any:
    """A module of the extra.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError("batches need an extra: pip install 'diptych[batch]'") from error


def is_url(name: str) -> bool:
    """Whether it is an address of fsspec and no path of this machine."""
    return "://" in name and not name.startswith(("file://", "local://"))


def local_path(name: str) -> str:
    """A path of this machine, also where it is written as ``file://``."""
    return name.partition("://")[2] if name.startswith(("file://", "local://")) else name


def reached(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it.

    Raises:
        MissingExtraError: fsspec, or what it needs for this kind of address, is not installed.
        OSError, ValueError: there is no such kind, or it lets nobody in.
    """
    fsspec = need("fsspec")
    with said(url, "reached"):
        fs, path = fsspec.core.url_to_fs(url)
    return fs, str(path).rstrip("/")


def puts_whole(fs: Any) -> bool:
    """Whether files appear there whole: an object store."""
    kinds = (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
    return not _PUT_WHOLE.isdisjoint(kinds)


@contextlib.contextmanager
def said(url: str, done: str) -> Iterator[None]:
    """Makes a sentence about the address of whatever a file system raises."""
    try:
        yield
    except (DiptychError, FileExistsError):
        raise
    except ImportError as error:
        kind = url.partition("://")[0].rpartition("::")[2]
        package = _PACKAGES.get(kind)
        hint = f"pip install {package}" if package else str(error)
        raise MissingExtraError(f"{url}: addresses of {kind}:// need a package: {hint}") from error
    except (FileNotFoundError, PermissionError) as error:
        missing = isinstance(error, FileNotFoundError)
        text = f"{url} cannot be {done}: {'it is not there' if missing else 'no right to'}"
        # What a file system says is its path again, or an answer of the service that it asked.
        why = _short(error)
        text += f" ({why})" if " " in why else ""
        raise (FileNotFoundError if missing else PermissionError)(text) from error
    except Exception as error:  # each file system has errors of its own
        why = _short(error) or type(error).__name__
        kind_of = ValueError if isinstance(error, ValueError) else OSError
        raise kind_of(f"{url} cannot be {done}: {why}") from error


def _short(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:300]


class Folder(Protocol):
    """A folder for results."""

    @property
    def url(self) -> str:
        """Its name."""

    def names(self) -> list[str]:
        """Names of the files directly in it, in order; none if it is missing."""

    def open(self, name: str) -> IO[bytes]:
        """A file of it, for reading."""

    def sweep(self) -> None:
        """Remove what a sudden end has left behind, unless it may be another writer's."""

    def write(self, name: str, fill: Fill, *, replace: bool = True) -> None:
        """Write a file whole, or nothing.

        Raises:
            FileExistsError: it is there, and not to be replaced.
            OSError: it cannot be written; the text says why.
        """


def open_folder(name: str) -> Folder:
    """The folder of a path or of an address; it may be missing.

    Raises:
        OSError, ValueError: it cannot be.
    """
    if is_url(name):
        return RemoteFolder(name)
    return LocalFolder(local_path(name))


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, name: str) -> None:
        self.url = name
        self._path = Path(name)
        if self._path.exists() and not self._path.is_dir():
            raise NotADirectoryError(f"{name} is a file: expected a folder")

    def names(self) -> list[str]:
        """See ``Folder``."""
        try:
            return sorted(entry.name for entry in os.scandir(self._path) if entry.is_file())
        except FileNotFoundError:
            return []

    def open(self, name: str) -> IO[bytes]:
        """See ``Folder``."""
        return (self._path / name).open("rb")

    def sweep(self) -> None:
        """See ``Folder``."""
        for path in self._path.glob(_UNFINISHED):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()

    def write(self, name: str, fill: Fill, *, replace: bool = True) -> None:
        """See ``Folder``."""

        def fill_place(place: Path) -> None:
            with place.open("wb") as file:
                fill(file)

        # Its checks are those of now: between two files a folder may become read-only.
        FileWriter(overwrite=replace, make_folders=True).write_with(self._path / name, fill_place)


class RemoteFolder:
    """A folder, or what all names of a bucket begin with, behind fsspec."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._fs, self._root = reached(self.url)

    def names(self) -> list[str]:
        """See ``Folder``."""
        with said(self.url, "listed"):
            self._fs.invalidate_cache(self._root)  # other shards write there, too
            try:
                found = self._fs.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
        return sorted(str(e["name"]).rpartition("/")[2] for e in found if e["type"] == "file")

    def open(self, name: str) -> IO[bytes]:
        """See ``Folder``."""
        with said(f"{self.url}/{name}", "read"):
            opened: IO[bytes] = self._fs.open(self._at(name), "rb")
        return opened

    def sweep(self) -> None:
        """See ``Folder``. Object stores show nothing that is unfinished."""

    def write(self, name: str, fill: Fill, *, replace: bool = True) -> None:
        """See ``Folder``. Of several that write at a time without ``replace`` the last wins."""
        url = f"{self.url}/{name}"
        with tempfile.TemporaryDirectory() as here, said(url, "written"):
            made = Path(here) / "made"
            with made.open("wb") as file:
                fill(file)
            if not replace and self._fs.exists(self._at(name)):
                raise FileExistsError(f"{url} is there already")
            if puts_whole(self._fs):
                self._fs.put_file(str(made), self._at(name))
                return
            self._fs.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
            place = self._at(f".diptych-{secrets.token_hex(6)}.part")
            try:
                self._fs.put_file(str(made), place)
                self._fs.mv(place, self._at(name))
            except BaseException:
                with contextlib.suppress(Exception):
                    self._fs.rm_file(place)
                raise

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"
