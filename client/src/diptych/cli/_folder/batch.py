"""``diptych batch``."""

from __future__ import annotations

import asyncio
import re
from contextlib import ExitStack
from typing import Any

import click

from ... import AsyncClient, DiptychError
from ..._arguments import make_options
from ..._batch.coco import NAME as COCO_NAME
from ..._batch.exports import Exports
from ..._batch.parts import Shard
from ..._batch.run import InterruptedBatchError, Plan, Summary, Watcher, run_batch
from ..._batch.sources import Source, open_source
from ..._batch.storage import need, open_folder
from ...formats import FORMATS
from .._asking import ask_options, asked
from .._completion import complete_paths, model_option
from .._exits import FAILED, describe, exit_code
from .._options import Number, connection_options
from .._outputs import checked_name, is_drawn
from .._progress import is_quiet, note, progress, quiet_option
from .._security import security

_SHOWN_ERRORS = 20


class _ShardType(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.4
    """``i/n`` with i from 0."""

    name = "I/N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Shard:
        if isinstance(value, Shard):
            return value
        numbers = re.fullmatch(r"(\d{1,4})/(\d{1,4})", value)
        index, count = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
        if index >= count:
            self.fail(f"expected I/N with I from 0 to N-1, such as 0/4, got {value!r}.", param, ctx)
        return Shard(index, count)


@click.command(short_help="Segment a folder or bucket into Parquet.")
@click.argument("source", metavar="SOURCE", shell_complete=complete_paths)
@model_option
@click.option(
    "--out",
    required=True,
    metavar="FOLDER",
    shell_complete=complete_paths,
    callback=checked_name,
    help="For the results: a path, or an address.",
)
@click.option(
    "--shard",
    type=_ShardType(),
    default=Shard(),
    metavar="I/N",
    help="Only this share of the pictures, I from 0 to N-1; each picture is in one of them.",
)
@ask_options
@click.option("--coco", is_flag=True, help="Also _annotations.json, as COCO, of the whole.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(list(FORMATS)),
    help="Also files of the whole for other tools, in the folder _NAME; may be repeated.",
)
@click.option(
    "--tolerance",
    type=Number(min=0),
    default=0.0,
    metavar="PX",
    help="How far polygons of --format may be from the outlines. [0]",
)
@click.option(
    "--rows",
    type=click.IntRange(1, 100_000),
    default=200,
    show_default=True,
    help="Pictures in a file of results.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Pictures asked at a time, at most.",
)
@click.option("--retry-failed", is_flag=True, help="Ask once more for pictures that failed.")
@click.option(
    "--changed", is_flag=True, help="Go on though pictures, model or number of shards changed."
)
@click.option(
    "--allow-failed", is_flag=True, help="Exit code 0 though pictures failed, unless all did."
)
@click.option(
    "--patience",
    type=Number(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up when nothing was answered for so long.",
)
@quiet_option
@connection_options
def batch(
    source: str,
    model: str | None,
    out: str,
    shard: Shard,
    coco: bool,
    formats: tuple[str, ...],
    tolerance: float,
    rows: int,
    jobs: int,
    retry_failed: bool,
    changed: bool,
    allow_failed: bool,
    patience: float,
    address: str | None,
    timeout: float,
    **ask: Any,
) -> None:
    """Segment all pictures of a folder, a list or a bucket, and keep what is found as Parquet.

    SOURCE is a folder, with the folders in it; a pattern such as "photos/**/*.jpg"; a file with a
    path in each line; or an address such as s3://bucket/photos, as far as packages of fsspec for it
    are installed. Results are Parquet files with a row for each picture, masks as COCO RLE.

    The same command again goes on where it ended, however it ended. A picture that cannot be read
    or is refused is a row with its error. A server that has no room is asked again when it
    suggests to; --timeout is for each answer.

    \b
    Examples:
      diptych batch photos --model mask-rcnn --coco --out found
      diptych batch "photos/*.jpg" --model sam-2 --box 10,10,90,90 --shard 0/2 --out shards
    """
    if tolerance and not formats:
        raise click.UsageError("--tolerance: expected only with --format.")
    wanted = asked(**ask)
    try:
        need("pyarrow.parquet")
        options = make_options(model, **wanted.arguments)
        found = open_source(source, left_out=is_drawn)
        folder = open_folder(out)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise click.UsageError(f"{error}.") from error
    try:
        client = AsyncClient(address, timeout=timeout, **security())
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    _note_repeated(found)
    plan = Plan(
        found,
        folder,
        options,
        shard,
        rows=rows,
        jobs=jobs,
        patience=patience,
        coco=coco,
        exports=Exports(formats, tolerance),
        categories=wanted.categories,
        changed=changed,
        retry_failed=retry_failed,
    )
    with _Shown(f"{folder.url}: ") as shown:
        try:
            summary = asyncio.run(_ask(client, plan, shown))
        except InterruptedBatchError as error:
            shown.summarize("to be gone on with by the same command; ")
            raise KeyboardInterrupt from error
        except ValueError as error:
            raise click.UsageError(f"{error}.") from error
        except (DiptychError, OSError):
            shown.summarize("stopped; ")
            raise
    shown.summarize()
    if summary.classless:
        note(
            f"the model names no classes, so {COCO_NAME} has category 0, 'object': no "
            "other file has it, and pycocotools leaves it out where categories count"
        )
    click.get_current_context().exit(_exit_code(summary, shown.codes, allow_failed))


async def _ask(client: AsyncClient, plan: Plan, shown: _Shown) -> Summary:
    async with client:
        return await run_batch(client, plan, shown)


class _Shown(Watcher):
    """A bar, the first errors as they come, and a summary at the end; all but it on stderr."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._summary: Summary | None = None
        self._stack = ExitStack()
        self._errors = 0
        self.codes: set[int] = set()
        """Exit codes of the errors."""

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def planned(self, summary: Summary) -> None:
        """See ``Watcher``."""
        self._summary = summary
        for name in summary.damaged:
            click.echo(f"diptych: {self._title}{name} is damaged, and is done again", err=True)
        self._bar = self._stack.enter_context(progress(summary.left, "Segmenting", unit="pictures"))

    def advanced(self, path: str, error: Exception | None) -> None:
        """See ``Watcher``."""
        self._bar.advance()
        if error is None:
            return
        self.codes.add(exit_code(error))
        self._errors += 1
        if self._errors <= _SHOWN_ERRORS:
            text = describe(error)
            shown = text if text.startswith(path) else f"{path}: {text}"
            click.echo(f"diptych: {shown}", err=True)
        elif self._errors == _SHOWN_ERRORS + 1:
            click.echo("diptych: more errors are in the results only", err=True)

    def summarize(self, before: str = "") -> None:
        """Prints what was done, on stdout."""
        self._stack.close()
        if self._summary is not None and not is_quiet():
            click.echo(f"{self._title}{before}{_sentence(self._summary)}")


def _sentence(summary: Summary) -> str:
    parts = [f"{_count(summary.pictures)}, {summary.answered} answered"]
    failed = ", ".join(f"{count} {code}" for code, count in summary.failed.most_common())
    parts.append(f"{summary.failed.total()} failed" + (f" ({failed})" if failed else ""))
    if summary.before:
        earlier = f"{summary.before} done before"
        if summary.failed_before:
            earlier += f" ({summary.failed_before} of them failed)"
        parts.append(earlier)
    text = ", ".join(parts)
    if summary.asked:
        text += (
            f"; {summary.segments} segments in {summary.seconds:.1f} s, "
            f"{summary.asked / summary.seconds:.1f} pictures/s"
        )
    if summary.missing:
        of_others = f"{summary.missing} pictures of other shards are not done"
        text += f"; no files of the whole yet, since {of_others}"
    return text


def _count(number: int) -> str:
    return f"{number} picture{'' if number == 1 else 's'}"


def _exit_code(summary: Summary, codes: set[int], allow_failed: bool) -> int:
    failed = summary.failed.total() + summary.failed_before
    if failed and failed == summary.pictures:
        return min(codes) if len(codes) == 1 else FAILED
    return FAILED if failed and not allow_failed else 0


def _note_repeated(found: Source) -> None:
    if found.repeated_count:
        noun = "line is a repetition" if found.repeated_count == 1 else "lines are repetitions"
        note(f"{found.name}: {found.repeated_count} {noun}, and left out")
