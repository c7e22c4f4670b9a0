"""Recording a run: requests, the answers to them, and the pictures they were about."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from diptych import (
    AuthenticationError,
    Client,
    DeadlineExceededError,
    DiptychError,
    ModelCard,
    OverloadedError,
    UnavailableError,
    UnsupportedCallError,
    VideoFrame,
)

from .record_file import PICTURES, Entry, Head, PictureFile, RecordWriter, contract_name
from .requests import Request

MAX_PICTURE_BYTES = 512 * 1024 * 1024
Choose = Callable[[ModelCard, tuple[int, int]], Sequence[Request]]
"""What a model is asked about a picture of this height and width."""
OF_THE_RUN = (AuthenticationError, DeadlineExceededError, OverloadedError, UnavailableError)
"""Errors that are none of a picture's: the run ends with them."""


@dataclass(frozen=True)
class Asked:
    """What came of one request."""

    picture: str
    model_id: str
    request: str
    error: Exception | None
    """Why there is no answer, so that it is not in the record."""


def cards_to_ask(client: Client, models: Sequence[str]) -> list[ModelCard]:
    """The cards of models; without ids those of all that the server knows.

    Raises:
        DiptychError: one of them cannot be reached.
    """
    if models:
        return [client.model_card(model) for model in models]
    try:
        known = client.model_cards()
    except UnsupportedCallError:  # a model service without a gateway
        return [client.model_card()]
    for model in known:
        if model.error is not None:
            raise model.error
    return [model.card for model in known if model.card is not None]


def record(
    client: Client,
    pictures: Iterable[Path],
    out: Path,
    *,
    cards: Sequence[ModelCard],
    choose: Choose,
    copy: bool = False,
    overwrite: bool = False,
) -> Iterator[Asked]:
    """Ask every model about every picture and keep the answers; yields as it goes.

    The record is there once this is exhausted, and not at all if it ends with an error. A picture
    that cannot be read, or is refused, is left out.

    Args:
        out: Folder of the record.
        copy: Keep a copy of each picture; else the record says where it was.

    Raises:
        DiptychError: the server cannot answer, whatever the picture.
        OSError: the record cannot be written.
    """
    head = Head(version("diptych"), contract_name())
    with RecordWriter(out, head, overwrite=overwrite) as writer, ExitStack() as undo:
        for path in pictures:
            try:
                data = read_picture(path)
                height, width, _ = VideoFrame(0, 0, data).pixels.shape
            except (OSError, ValueError, DiptychError) as error:
                yield Asked(str(path), "", "", error)
                continue
            file = _kept(path, data, out, undo) if copy else _referenced(path, data)
            for card in cards:
                for request in choose(card, (height, width)):
                    try:
                        answer = request.ask(client, card.id, data)
                    except OF_THE_RUN:
                        raise
                    except DiptychError as error:
                        yield Asked(str(path), card.id, request.name, error)
                    else:
                        writer.write(Entry(file, card.id, request, answer))
                        yield Asked(str(path), card.id, request.name, None)
        writer.finish()
        undo.pop_all()


def read_picture(path: Path) -> bytes:
    """The bytes of a picture's file.

    Raises:
        OSError: it is missing, no regular file, too large, or cannot be read.
    """
    if not path.is_file():
        what = "is no regular file" if path.exists() else "is not there"
        raise FileNotFoundError(f"{path} {what}")
    size = path.stat().st_size
    if size > MAX_PICTURE_BYTES:
        raise OSError(f"{path}: expected at most {MAX_PICTURE_BYTES} bytes, got {size}")
    return path.read_bytes()


def _referenced(path: Path, data: bytes) -> PictureFile:
    return PictureFile(str(path), hashlib.sha256(data).hexdigest(), path.resolve(), copied=False)


def _kept(path: Path, data: bytes, out: Path, undo: ExitStack) -> PictureFile:
    """The copy, which is removed again where the record does not come to be."""
    digest = hashlib.sha256(data).hexdigest()
    place = out / PICTURES / f"{digest}{path.suffix.lower()}"
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        undo.callback(place.unlink, missing_ok=True)
        try:
            place.write_bytes(data)
        except OSError as error:
            raise OSError(f"{place} cannot be written: {error.strerror}") from error
    return PictureFile(str(path), digest, place, copied=True)
