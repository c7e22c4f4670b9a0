"""Files that are written: whole, and never in the place of one that was there or was read."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Union

PathLike = Union[str, "os.PathLike[str]"]
# What file systems without hard links say to one.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass(frozen=True)
class Unfinished:
    """A file on its way to its name."""

    place: Path
    """Where to write."""
    target: Path
    replaces: bool

    def keep(self) -> None:
        """Give it its name, in one step.

        Raises:
            FileExistsError: the name was taken meanwhile.
            OSError: the file system refuses.
        """
        if self.place == self.target:
            return
        try:
            if self.replaces:
                os.replace(self.place, self.target)
            else:
                _link(self.place, self.target)
        except BaseException:
            self.drop()
            raise

    def drop(self) -> None:
        """Remove it, with nothing left behind."""
        self.place.unlink(missing_ok=True)


class FileWriter:
    """Writes files under one rule, which is that nothing that was there is lost.

    Args:
        overwrite: Files that are there may be replaced; sources may not.
        sources: What was read to make what is written. Whatever the name, by links too, none of
            them is written to.
        make_folders: Folders that are missing are made.
    """

    def __init__(
        self,
        *,
        overwrite: bool = False,
        sources: Iterable[PathLike] = (),
        make_folders: bool = False,
    ) -> None:
        self._overwrite = overwrite
        self._sources = frozenset(filter(None, map(_identity, sources)))
        self._make_folders = make_folders
        self._writable: set[Path] = set()

    def check(self, path: PathLike) -> None:
        """Raise what ``write`` would raise now.

        Raises:
            FileExistsError: a file is there, or it is a source.
            FileNotFoundError, NotADirectoryError: its folder is missing.
            IsADirectoryError: it is a folder.
            OSError: its name is too long, the folder is read-only, and so on.
        """
        target = Path(path)
        if os.path.isdir(target):  # as a Path it would raise for a name that is too long
            raise _error(errno.EISDIR, f"{target} is a folder: expected the name of a file")
        folder = target.parent
        if not folder.is_dir() and not self._make_folders:
            raise _error(errno.ENOENT, f"{target} cannot be written: there is no folder {folder}")
        self._check_folder(folder)
        try:
            os.lstat(target)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unwritten(target, error) from error
        self._check_there(target)

    def write(self, path: PathLike, data: bytes) -> None:
        """Write a whole file, or nothing.

        Raises:
            OSError: as ``check`` says, or there is no room.
        """
        self.write_with(path, lambda place: place.write_bytes(data))

    def write_with(self, path: PathLike, fill: Callable[[Path], object]) -> None:
        """Write a whole file, or nothing, with what ``fill`` writes into the file that it is given.

        Raises:
            OSError: as ``check`` says, or there is no room.
        """
        unfinished = self._begin(path)
        try:
            fill(unfinished.place)
            unfinished.keep()
        except BaseException as error:
            unfinished.drop()
            if isinstance(error, OSError) and error.strerror:  # else it names the file already
                raise _unwritten(path, error) from error
            raise

    def grow(self, path: PathLike) -> Unfinished:
        """Begin a file that is of use before it is whole: where nothing is there, in its place.

        Raises:
            OSError: as ``check`` says.
        """
        return self._begin(path, in_place=True)

    def _begin(self, path: PathLike, *, in_place: bool = False) -> Unfinished:
        self.check(path)
        target = Path(path)
        if self._make_folders:
            target.parent.mkdir(parents=True, exist_ok=True)
        if in_place and not os.path.lexists(target):
            _create(target)
            return Unfinished(target, target, replaces=False)
        # The file that a link leads to, so that the link stays one.
        final = Path(os.path.realpath(target)) if self._overwrite else target
        place = _temporary(final.parent)
        _create(place)
        if self._overwrite and final.exists():
            os.chmod(place, stat.S_IMODE(final.stat().st_mode))
        return Unfinished(place, final, replaces=self._overwrite)

    def _check_there(self, target: Path) -> None:
        if _identity(target) in self._sources:
            raise _error(
                errno.EEXIST,
                f"{target} is the source itself, which is never overwritten: choose another name",
            )
        if not self._overwrite:
            raise _error(
                errno.EEXIST,
                f"{target} is there already: choose another name, or say that it may be replaced "
                "(in Python overwrite=True, on the command line --overwrite)",
            )
        try:
            found = os.stat(target)
        except FileNotFoundError:  # a link that leads nowhere yet
            return
        if not stat.S_ISREG(found.st_mode):
            raise _error(errno.EEXIST, f"{target} is no regular file, and is left as it is")
        if not found.st_mode & 0o222:
            raise _error(errno.EACCES, f"{target} is write-protected, and is left as it is")

    def _check_folder(self, folder: Path) -> None:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if folder in self._writable:
            return
        if not folder.is_dir():
            raise _error(errno.ENOTDIR, f"{folder} is a file: expected a folder")
        probe = _temporary(folder)
        try:
            _create(probe)
            probe.unlink()
        except OSError as error:
            code = error.errno or errno.EACCES
            raise _error(code, f"nothing can be written in {folder}: {error.strerror}") from error
        self._writable.add(folder)


def source_paths(*images: object) -> list[PathLike]:
    """Where images were read from, as far as they say; pixels and bytes do not.

    A path says it itself, an opened file or PIL image by its name.
    """
    found: list[PathLike] = []
    for image in images:
        names = (image, getattr(image, "filename", None), getattr(image, "name", None))
        found += [name for name in names if isinstance(name, (str, os.PathLike))]
    return found


def _identity(path: PathLike) -> tuple[int, int] | None:
    """What tells one file from another, whatever it is called; ``None`` if there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _temporary(folder: Path) -> Path:
    return folder / f".diptych-{secrets.token_hex(6)}.part"


def _create(path: Path) -> None:
    """Makes an empty file with the mode that the umask leaves; it must not be there."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def _link(place: Path, target: Path) -> None:
    try:
        os.link(place, target)
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise _error(errno.EEXIST, f"{target} appeared meanwhile, and is left alone") from error
        if error.errno not in _NO_LINKS:
            raise
        _create(target)
        os.replace(place, target)
    else:
        place.unlink()


def _unwritten(path: PathLike, error: OSError) -> OSError:
    return _error(error.errno or errno.EIO, f"{path} cannot be written: {error.strerror}")


def _error(code: int, text: str) -> OSError:
    """An error of the class that belongs to the code, whose text is ours alone."""
    kind = type(OSError(code, text))
    error = kind(text)
    error.errno = code
    return error
