"""What a batch is, written down where its results are, so that no other one writes there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass

from .._arguments import RequestOptions
from .._types.cards import ModelCard
from ..documents.results import plain
from ..wire.requests import image_by_digest, segment_request
from .sources import Source
from .storage import Folder

NAME = "_diptych-batch.json"
"""The file of the job; readers of Parquet leave out names that begin so."""
_VERSION = 1


@dataclass(frozen=True)
class Job:
    """What is asked of which pictures."""

    version: int
    source: str
    root: str
    """What all paths begin with, but for those of a list."""
    picture_count: int
    listing_sha256: str
    model: str
    card_sha256: str
    task: str
    request_sha256: str
    """Of prompts and options, as they are sent."""
    shard_count: int
    categories: tuple[tuple[int, str], ...] = ()


def job_of(source: Source, options: RequestOptions, card: ModelCard, shard_count: int) -> Job:
    """Describe a batch."""
    asked = segment_request(
        dataclasses.replace(options, model_id=card.id), image_by_digest(b"")
    ).SerializeToString(deterministic=True)
    return Job(
        version=_VERSION,
        source=source.name,
        root=source.root,
        picture_count=len(source.pictures),
        listing_sha256=source.sha256,
        model=card.id,
        card_sha256=card_digest(card),
        task=options.task.value,
        request_sha256=hashlib.sha256(asked).hexdigest(),
        shard_count=shard_count,
        categories=tuple((category.id, category.name) for category in card.categories),
    )


def card_digest(card: ModelCard) -> str:
    """A digest of what a card says of a model, in hexadecimal; what was measured on the server,
    and what it has room for, may differ between two that answer alike."""
    document = plain(card)
    document["metrics"] = [metric for metric in document["metrics"] if metric["source"]]
    del document["limits"]
    text = json.dumps(document, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def settle(folder: Folder, job: Job, *, changed: bool) -> None:
    """Begin the job in a folder, or go on with it there.

    Args:
        changed: It may be that the pictures, the model or the number of shards are others.

    Raises:
        ValueError: the folder is another job's, or something else is in it.
        OSError: it cannot be read or written.
    """
    names = folder.names()
    if NAME not in names:
        parts = [name for name in names if not name.startswith(".")]
        if parts:
            raise ValueError(
                f"{folder.url}: expected an empty folder, or one of this job, got one with "
                f"{parts[0]!r} and without {NAME}"
            )
        with suppress(FileExistsError):  # another shard was quicker
            _write(folder, job, replace=False)
    there = _read(folder)
    if there == job:
        return
    _check(folder, there, job, changed)
    _write(folder, job, replace=True)


def _check(folder: Folder, there: Job, job: Job, changed: bool) -> None:
    other_pictures = there.listing_sha256 != job.listing_sha256
    for what, old, new in (
        ("of the pictures of", there.source, job.source if other_pictures else there.source),
        ("of model", there.model, job.model),
        ("of task", there.task, job.task),
    ):
        if old != new:
            raise ValueError(
                f"{folder.url} has the results of another job, {what} {old}, not {new}: "
                "choose another folder"
            )
    if there.request_sha256 != job.request_sha256:
        raise ValueError(
            f"{folder.url} has the results of another job, with other prompts or options: "
            "choose another folder"
        )
    differences = []
    if other_pictures:
        differences.append(
            f"{job.source} has changed (it had {there.picture_count} pictures, now it has "
            f"{job.picture_count})"
        )
    if there.card_sha256 != job.card_sha256:
        differences.append(f"the card of {job.model} has changed: are these other weights?")
    if there.shard_count != job.shard_count:
        differences.append(f"it was begun in {there.shard_count} shards, not {job.shard_count}")
    if differences and not changed:
        raise ValueError(
            f"{folder.url} was begun otherwise: {'; '.join(differences)}. Choose another folder, "
            "or go on with --changed, which keeps what is done"
        )


def _read(folder: Folder) -> Job:
    try:
        with folder.open(NAME) as file:
            found = json.loads(file.read())
        found["categories"] = tuple((int(one[0]), str(one[1])) for one in found["categories"])
        job = Job(**found)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(
            f"{folder.url}/{NAME} cannot be read: expected the file of a job"
        ) from error
    if job.version != _VERSION:
        raise ValueError(
            f"{folder.url}: expected a job of version {_VERSION}, got {job.version}: "
            "was it begun by another version of diptych?"
        )
    return job


def _write(folder: Folder, job: Job, *, replace: bool) -> None:
    text = json.dumps(dataclasses.asdict(job), indent=2)
    folder.write(NAME, lambda file: file.write(text.encode()), replace=replace)
