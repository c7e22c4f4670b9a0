"""Where commands write: names that tell their source, looked at before a request is sent."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import click

from .. import Comparison, SegmentResult
from .._files import FileWriter
from ._pipes import STDOUT, check_stdout, print_bytes
from ._security import security_files

_F = TypeVar("_F", bound=Callable[..., Any])
FIGURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg"})
SEGMENTS, COMPARE = "segments", "compare"
_DRAWN = re.compile(rf"(.+)\.(?:{SEGMENTS}|{COMPARE})\.png", re.DOTALL)
_FILE_LIKE = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}")
_LONGEST_NAME = 255  # bytes, on all usual file systems


def out_options(text: str, *, stdout: bool = False) -> Callable[[_F], _F]:
    """``--out``, with its help, and ``--overwrite``; ``stdout`` lets it be ``-``."""

    check = _checked_or_stdout if stdout else checked_name

    def decorate(function: _F) -> _F:
        # A string: a path would forget the slash at the end, which says that a folder is meant.
        out = click.option("--out", type=click.Path(), callback=check, help=text)
        return out(overwrite_option(function))

    return decorate


overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace files that are there; never a source."
)


def checked_name(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    """The value of ``--out``, unless it is no name."""
    if value == "":
        raise click.BadParameter("expected a name, got an empty one.", context, parameter)
    if value == "-":
        raise click.BadParameter("files are not written to stdout.", context, parameter)
    return value


def _checked_or_stdout(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    return value if value == STDOUT else checked_name(context, parameter, value)


class Figures:
    """Figures of one command, each under its own name, none in the place of another file."""

    def __init__(self, paths: Sequence[Path], *, overwrite: bool, stdout: bool = False) -> None:
        self._stdout = stdout
        self._paths = paths
        self._overwrite = overwrite
        self._saved: set[Path] = set()

    def save(
        self, number: int, drawn: SegmentResult | Comparison, image: Path
    ) -> OSError | ValueError | None:
        """Draw what was found in the image of that number; why there is no figure, if so."""
        path = self._paths[number]
        if path in self._saved:  # the same image, given twice
            return None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn.save(path, image=image, overwrite=self._overwrite)
        except (OSError, ValueError) as error:
            return error
        self._saved.add(path)
        if self._stdout:
            print_bytes(path.read_bytes())
        return None


def one_figure(out: str | None, image: Path, kind: str, *, overwrite: bool) -> Figures | None:
    """A figure in the file ``out``, or in the folder ``out`` under the image's name."""
    if out == STDOUT:
        check_stdout("A figure", binary=True)
        folder = click.get_current_context().with_resource(TemporaryDirectory(prefix="diptych-"))
        return Figures([Path(folder) / "figure.png"], overwrite=False, stdout=True)
    path = _path(out, overwrite)
    if path is None or out is None:
        return None
    if is_folder(out):
        return _figures([path / _figure_name(image.name, kind)], overwrite, make_folders=True)
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        known = " ".join(sorted(FIGURE_SUFFIXES))
        raise _wrong(f"expected a folder, or a file with a suffix of {known}, got {out!r}.")
    return _figures([path], overwrite)


def many_figures(
    out: str | None, images: Sequence[Path], kind: str, *, overwrite: bool
) -> Figures | None:
    """A figure for each image, in the folder ``out``."""
    if out == STDOUT and len(images) == 1:
        return one_figure(out, images[0], kind, overwrite=overwrite)
    if out == STDOUT:
        raise _wrong(f"expected a folder for the figures of {len(images)} pictures, got stdout.")
    folder = out_folder(out, f"a folder for the figures of {len(images)} pictures", overwrite)
    if folder is None:
        return None
    paths = [folder / name for name in _figure_names(images, kind)]
    return _figures(paths, overwrite, images, make_folders=True)


def out_folder(out: str | None, expected: str, overwrite: bool) -> Path | None:
    """The folder ``out``, which may be missing but must not look like a file."""
    path = _path(out, overwrite)
    if path is None or out is None:
        return None
    if not is_folder(out) and _FILE_LIKE.fullmatch(path.suffix):
        raise _wrong(f"expected {expected}, got {out!r}; with a / at the end it is one.")
    if path.exists() and not path.is_dir():
        raise _wrong(f"expected {expected}, got the file {out!r}.")
    return path


def check_files(
    paths: Iterable[Path],
    sources: Iterable[Path] = (),
    *,
    overwrite: bool,
    make_folders: bool = False,
    hint: str = "--out",
) -> FileWriter:
    """What writes the files.

    Raises:
        click.BadParameter: one cannot be written, or must not be: it is there already, or it is
            one of the sources or any other file that the command reads.
    """
    read = [*_files_read(), *sources]
    writer = FileWriter(overwrite=overwrite, sources=read, make_folders=make_folders)
    with refused(hint):
        for path in paths:
            writer.check(path)
    return writer


@contextmanager
def refused(hint: str) -> Iterator[None]:
    """Makes wrong usage of what cannot be written."""
    try:
        yield
    except OSError as error:
        raise click.BadParameter(f"{error}.", param_hint=hint) from error


def is_folder(out: str) -> bool:
    """Whether ``out`` names a folder: one that is there, or by a slash at its end."""
    return out.endswith(("/", os.sep)) or os.path.isdir(out)


def is_drawn(path: Path) -> bool:
    """Whether this is a figure that a command drew beside its image."""
    parts = _DRAWN.fullmatch(path.name)
    return parts is not None and path.with_name(parts[1]).is_file()


def _path(out: str | None, overwrite: bool) -> Path | None:
    if out is None and overwrite:
        raise click.UsageError("--overwrite: expected only with --out.")
    return None if out is None else Path(out)


def _figures(
    paths: Sequence[Path],
    overwrite: bool,
    sources: Sequence[Path] = (),
    *,
    make_folders: bool = False,
) -> Figures:
    from .._drawing import plot  # noqa: F401  what it lacks is said before the work is done

    check_files(paths, sources, overwrite=overwrite, make_folders=make_folders)
    return Figures(paths, overwrite=overwrite)


def _files_read() -> list[Path]:
    given = click.get_current_context().params.values()
    values = (one for value in given for one in (value if isinstance(value, tuple) else (value,)))
    return [*(one for one in values if isinstance(one, Path)), *security_files()]


def _figure_names(images: Sequence[Path], kind: str) -> list[Path]:
    """A name for each image, the same for an image that comes twice.

    Names that occur in several folders keep the folders in which they differ. File systems
    that do not tell upper case from lower would make one file of names that differ only in that,
    so these have a number.
    """
    places = [Path(os.path.abspath(image)) for image in images]
    common = os.path.commonpath([place.parent for place in places])
    counts = Counter(_key(place.name) for place in dict.fromkeys(places))
    names: dict[Path, Path] = {}
    taken: Counter[str] = Counter()
    for place in dict.fromkeys(places):
        shared = counts[_key(place.name)] > 1
        folder = place.parent.relative_to(common) if shared else Path()
        taken[_key(str(folder / place.name))] += 1
        count = taken[_key(str(folder / place.name))]
        names[place] = folder / _figure_name(place.name, f"{kind}-{count}" if count > 1 else kind)
    return [names[place] for place in places]


def _figure_name(name: str, kind: str) -> str:
    tail = f".{kind}.png"
    data = os.fsencode(name)
    if len(data) + len(tail) > _LONGEST_NAME:
        tail = f"~{hashlib.sha256(data).hexdigest()[:8]}{tail}"
        name = data[: _LONGEST_NAME - len(tail)].decode("utf-8", "ignore")
    return name + tail


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _wrong(text: str) -> click.BadParameter:
    return click.BadParameter(text, param_hint="--out")
