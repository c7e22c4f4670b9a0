"""What a command says of itself beside its results: a bar, notes, and ``--quiet``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import rich.progress

_T = TypeVar("_T")
_QUIET = f"{__name__}.quiet"


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta[_QUIET] = value


quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_keep,
    help="Print errors only, and what --json and --out - print.",
)


def is_quiet() -> bool:
    """Whether the command that runs was given ``--quiet``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def note(text: str) -> None:
    """Prints a line to stderr that is no error, unless nobody wants to know."""
    if not is_quiet():
        click.echo(f"diptych: {text}", err=True)


class _Silent:
    """Progress where nobody looks."""

    def advance(self) -> None:
        """One more is done."""


class _Bar(_Silent):
    def __init__(self, bar: rich.progress.Progress, task: rich.progress.TaskID) -> None:
        self._bar, self._task = bar, task

    def advance(self) -> None:
        self._bar.advance(self._task)


@contextmanager
def progress(total: int | None, description: str, *, unit: str = "") -> Iterator[_Silent]:
    """A bar on stderr while it is entered, if that is a terminal; ``unit`` is for its rate."""
    if is_quiet() or not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0:.1f} {unit}/s" if unit else "")

    # Lines that are printed meanwhile go through the bar's console, which is stderr: right if
    # stdout is the same terminal, wrong if it is a pipe.
    console, same_terminal = Console(stderr=True), sys.stdout.isatty()
    columns = (*Progress.get_default_columns(), Rate())
    with Progress(*columns, console=console, transient=True, redirect_stdout=same_terminal) as bar:
        yield _Bar(bar, bar.add_task(description, total=total))


def with_progress(
    items: Iterable[_T], total: int | None, description: str, *, unit: str = ""
) -> Iterator[_T]:
    """Passes items through; on a terminal with a bar, and with ``unit``, how many a second."""
    with progress(total, description, unit=unit) as bar:
        for item in items:
            yield item
            bar.advance()
