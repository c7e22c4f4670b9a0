"""A batch from its source to its last part."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from .._arguments import RequestOptions
from .._async_client import AsyncClient
from .._by_card import check_automatic, with_categories
from .._types.cards import ModelCard
from .asking import Asker
from .coco import write_coco
from .exports import Exports, write_formats
from .job import Job, job_of, settle
from .parts import Finished, Parts, Shard, Unit
from .rows import Row
from .sources import Picture, Source
from .storage import Folder

_MOST_THREADS = 64


@dataclass(frozen=True)
class Plan:
    """What is to be done, and how."""

    source: Source
    folder: Folder
    options: RequestOptions
    shard: Shard = field(default_factory=Shard)
    rows: int = 200
    """Pictures in a part: what is done again after a sudden end."""
    jobs: int = 8
    patience: float = 300.0
    coco: bool = False
    exports: Exports = field(default_factory=Exports)
    categories: Sequence[str] = ()
    """Names or numbers; only these of the model's."""
    changed: bool = False
    retry_failed: bool = False


@dataclass
class Summary:
    """What was done; of this shard alone, if there are several."""

    pictures: int = 0
    """All of the shard."""
    before: int = 0
    """Of them, those that had a row already, and were left."""
    failed_before: int = 0
    """Of those, the ones that had failed."""
    left: int = 0
    """Pictures that were to be asked."""
    answered: int = 0
    segments: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    damaged: tuple[str, ...] = ()
    """Files that were no whole parts."""
    missing: int = 0
    """Where files of the whole are asked for: its pictures that have no row yet, since other shards
    are not done."""
    joined: bool = False
    """COCO's file was written."""
    classless: bool = False
    """With its annotations of category 0, since the model names no classes."""
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return max(time.monotonic() - self.started, 1e-3)

    @property
    def asked(self) -> int:
        """Pictures that have got a row now."""
        return self.answered + self.failed.total()


class Watcher:
    """Is told how far a batch is; this one says nothing."""

    def planned(self, summary: Summary) -> None:
        """It begins; the summary grows with each part that is written."""

    def advanced(self, path: str, error: Exception | None) -> None:
        """One was answered, or failed."""


class InterruptedBatchError(Exception):
    """SIGINT or SIGTERM came: what is finished stays, the rest can be gone on with."""


async def run_batch(client: AsyncClient, plan: Plan, watcher: Watcher) -> Summary:
    """Ask for all pictures of the plan's shard that have no row yet, and write their parts.

    Raises:
        InterruptedBatchError: SIGINT or SIGTERM came.
        DiptychError: the server answers no more, or nothing of this kind.
        OSError, ValueError: the folder cannot be used, or is another job's.
    """
    # Else a machine of two processors reads six pictures at a time, however far away they are.
    pool = ThreadPoolExecutor(min(plan.jobs, _MOST_THREADS) + 2, thread_name_prefix="diptych-batch")
    asyncio.get_running_loop().set_default_executor(pool)
    heard: list[int] = []
    with _cancelled_by_signals(heard):
        try:
            return await _run(client, plan, watcher)
        except asyncio.CancelledError as error:
            if heard:
                raise InterruptedBatchError from error
            raise


async def _run(client: AsyncClient, plan: Plan, watcher: Watcher) -> Summary:
    asker = Asker(client, plan.options, jobs=plan.jobs, patience=plan.patience)
    card = await asker.card()
    check_automatic(plan.options.automatic, [card])
    output = with_categories(plan.options.output, plan.categories, [card])
    options = asker.options = replace(plan.options, output=output)
    job = job_of(plan.source, options, card, plan.shard.count)
    await asyncio.to_thread(settle, plan.folder, job, changed=plan.changed)
    await asyncio.to_thread(plan.folder.sweep)
    parts = Parts(plan.folder, plan.shard)
    finished = await asyncio.to_thread(parts.finished)
    pictures = plan.source.pictures
    units = parts.units(pictures, finished, plan.rows, retry_failed=plan.retry_failed)
    summary = _summary(filter(plan.shard.has, pictures), finished, units)
    watcher.planned(summary)
    batch = _Batch(asker, card, job.card_sha256, parts, summary, watcher)
    for unit in units:
        await batch.do(unit)
    if plan.coco or plan.exports.formats:
        await asyncio.to_thread(_join, parts, plan, job, card, summary)
    return summary


@dataclass
class _Batch:
    asker: Asker
    card: ModelCard
    card_sha256: str
    parts: Parts
    summary: Summary
    watcher: Watcher

    async def do(self, unit: Unit) -> None:
        """Ask for the pictures of a unit and write its part, before the next is begun."""
        tasks = [asyncio.create_task(self._row(picture)) for picture in unit.pictures]
        try:
            rows = await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        await asyncio.to_thread(self.parts.write, unit, rows)
        for row in rows:
            self._count(row)

    async def _row(self, picture: Picture) -> Row:
        row, error = await self.asker.row(picture, self.card, self.card_sha256)
        # Not kept: what it was raised through holds the picture.
        self.watcher.advanced(picture.path, error)
        return row

    def _count(self, row: Row) -> None:
        if "error_code" in row:
            self.summary.failed[row["error_code"]] += 1
        else:
            self.summary.answered += 1
            self.summary.segments += len(row["segments"])


def _summary(mine: Iterable[Picture], finished: Finished, units: list[Unit]) -> Summary:
    paths = {picture.path for picture in mine}
    left = {picture.path for unit in units for picture in unit.pictures}
    done, failed = 0, 0
    for part in finished.parts:
        done += sum(path in paths and path not in left for path in part.paths)
        failed += sum(path in paths and path not in left for path in part.failed)
    return Summary(len(paths), done, failed, left=len(left), damaged=finished.damaged)


def _join(parts: Parts, plan: Plan, job: Job, card: ModelCard, summary: Summary) -> None:
    """Write the files that are of the whole, if all of it is there."""
    finished = parts.finished()
    done = finished.paths
    summary.missing = sum(picture.path not in done for picture in plan.source.pictures)
    if not summary.missing:
        names = [part.name for part in finished.parts]
        if plan.coco:
            write_coco(parts, names, job)
            summary.joined, summary.classless = True, not job.categories
        write_formats(parts, names, job, card, plan.exports)


@contextmanager
def _cancelled_by_signals(heard: list[int]) -> Iterator[None]:
    """SIGINT and SIGTERM cancel the task that is here, unless they are ignored."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    listened = []

    def hear(number: int) -> None:
        heard.append(number)
        task.cancel()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                with suppress(NotImplementedError):  # an event loop of Windows
                    loop.add_signal_handler(number, hear, number)
                    listened.append(number)
    try:
        yield
    finally:
        for number in listened:
            loop.remove_signal_handler(number)
