"""Picture files of a data set: found by the names in labels, and measured by their headers."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from PIL import Image
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from diptych.pixels import orientation

from .errors import DatasetError, Findings

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif"}
)
"""Files that count as pictures."""
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_OTHER_CASE = (
    "Some picture files have names that differ from the labels' in case or in the form of their "
    "letters; they are taken."
)


@dataclass(frozen=True)
class Header:
    """Size of a picture's stored pixels, and how they are to be turned."""

    height: int
    width: int
    orientation: int
    """As in EXIF, 1 to 8; 1: not at all."""

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width of the pixels in the file."""
        return self.height, self.width

    @property
    def turned(self) -> tuple[int, int]:
        """Height and width of what services and viewers see."""
        return self.stored if self.orientation < 5 else (self.width, self.height)


@dataclass(frozen=True)
class Frame:
    """The pixels that the labels of a picture refer to."""

    height: int
    width: int
    turn: int = 1
    """How labels must be turned to be those of the turned picture; an EXIF orientation."""


def read_header(path: Path) -> Header:
    """Size and orientation of a picture, without its pixels.

    Raises:
        DatasetError: it is no picture that can be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                width, height = image.size
                # Pillow decodes a PNG to see whether metadata follow its pixels.
                plain = image.format == "PNG" and not _png_says_more(path)
                turn = 1 if plain else orientation(image)
                if isinstance(image, TiffImageFile):
                    # Its size is that of the turned picture, in newer versions of Pillow.
                    width, height = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
    except Image.DecompressionBombError as error:
        raise DatasetError(path, "", "a picture of a usual size", str(error)) from error
    except Exception as error:  # decoders of broken files raise whatever comes up
        said = str(error) or type(error).__name__
        raise DatasetError(path, "", "a picture", f"a file that is none: {said}") from error
    return Header(height, width, turn)


def _png_says_more(path: Path) -> bool:
    """Whether a PNG has a chunk that could hold an orientation."""
    with path.open("rb") as file:
        if file.read(8) != _PNG_SIGNATURE:
            return True
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                if kind == b"eXIf" or file.read(min(length, 17)).startswith((b"Raw", b"XML")):
                    return True
                length -= min(length, 17)
            if kind == b"IEND":
                return False
            file.seek(length + 4, 1)
    return True


def decide_frame(
    header: Header,
    stated: tuple[int, int] | None,
    findings: Findings,
    *,
    file: Path,
    name: str,
    exif: str,
    by_custom: bool = False,
) -> Frame | None:
    """Tell which pixels the labels of a picture mean; ``None`` after noting a problem.

    Args:
        stated: height and width that the labels give, where they do.
        file: where they stand, for a problem's text.
        exif: ``"auto"``, ``"turned"`` or ``"stored"``.
        by_custom: the format's own tools read turned pictures, so that is what is not said.
    """
    stored, turned = header.stored, header.turned
    if stated is not None and stated not in (stored, turned):
        sizes = _by(stored) if stored == turned else f"{_by(stored)} (turned: {_by(turned)})"
        got = f"{_by(stated)}: its labels are of a picture of another size"
        findings.problem(file, f"{name}, height x width", f"the picture's {sizes}", got)
        return None
    if header.orientation == 1:
        return Frame(*stored)
    wanted = exif
    if exif == "auto":
        if stated is not None and stored != turned:
            wanted = "turned" if stated == turned else "stored"
        elif by_custom:
            wanted = "turned"
        else:
            _ambiguous(header, findings, file, name)
            return None
    size = turned if wanted == "turned" else stored
    if stated not in (None, size):
        got = f"{_by(stated or size)}, which is the other"
        findings.problem(file, f"{name}, height x width", f"{_by(size)} as {wanted}", got)
        return None
    if wanted == "turned":
        findings.warn(
            "Some pictures are turned by EXIF; their labels are read as of the turned.", name
        )
        return Frame(*turned)
    findings.warn(
        "Some pictures are turned by EXIF, and their labels are of the pixels as stored; the "
        "labels are turned alike, since models see turned pictures.",
        name,
    )
    return Frame(*stored, header.orientation)


def _ambiguous(header: Header, findings: Findings, file: Path, name: str) -> None:
    findings.problem(
        file,
        name,
        "labels whose size tells whether they are of the turned picture or of the stored pixels",
        f"orientation {header.orientation} of EXIF at {_by(header.stored)}, which both have; "
        "say --exif turned or --exif stored, or take the orientation out of the file",
    )


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


class PictureFolder:
    """Finds picture files by the names that labels give, as people's tools write them."""

    def __init__(self, folders: Sequence[Path], findings: Findings) -> None:
        self._folders = list(folders)
        self._findings = findings
        self._listed: dict[Path, dict[str, list[Path]]] = {}
        self._stems: dict[Path, dict[str, Path]] = {}
        self._below: dict[str, list[Path]] | None = None

    @property
    def folders(self) -> str:
        """Where it looks, for an error's text."""
        return ", ".join(map(str, self._folders))

    def find(self, name: str) -> Path | None:
        """The file of that name: as written, in another case, or alone of that name below."""
        relative = as_posix(name)
        for folder in self._folders:
            if is_there(path := folder / relative):
                return path
        for folder in self._folders:
            path = folder / relative
            found = self._listing(path.parent).get(_plain(path.name), [])
            if len(found) == 1:
                self._findings.warn(_OTHER_CASE, f"{name} is {found[0].name}")
                return found[0]
        found = self._everywhere().get(_plain(PurePosixPath(relative).name), [])
        if len(found) == 1:
            self._findings.warn(
                "Some picture files are in another folder than the labels say; they are taken.",
                f"{name} is {found[0]}",
            )
            return found[0]
        return None

    def find_stem(self, stem: str) -> Path | None:
        """The picture whose name is this one and a suffix."""
        for folder in self._folders:
            if folder not in self._stems:
                paths = list_pictures(folder) if folder.is_dir() else []
                self._stems[folder] = {_plain(path.stem): path for path in reversed(paths)}
            if (path := self._stems[folder].get(_plain(stem))) is not None:
                if path.stem != stem:
                    self._findings.warn(_OTHER_CASE, f"{stem} is {path.name}")
                return path
        return None

    def _listing(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._listed:
            files = list(filter(Path.is_file, folder.iterdir())) if is_there(folder) else []
            self._listed[folder] = _by_plain_name(files)
        return self._listed[folder]

    def _everywhere(self) -> dict[str, list[Path]]:
        if self._below is None:
            found = {path for folder in self._folders for path in folder.rglob("*")}
            self._below = _by_plain_name(
                sorted(p for p in found if p.suffix.lower() in SUFFIXES and p.is_file())
            )
        return self._below


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder; not if no file could have such a name."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def as_posix(name: str) -> str:
    """A file's name with ``/`` between folders, also if Windows wrote it."""
    if "\\" not in name:
        return PurePosixPath(name).as_posix()
    path = PureWindowsPath(name)
    return (path.relative_to(path.anchor) if path.anchor else path).as_posix()


def list_pictures(folder: Path) -> list[Path]:
    """Picture files directly in a folder, in order of name."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()
    )


def _by_plain_name(paths: Sequence[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(_plain(path.name), []).append(path)
    return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
