"""Commands of other packages: those that their entry points in ``diptych.commands`` name."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from .._types.errors import MissingExtraError
from ._exits import FAILED, ExitCodeGroup, describe

GROUP = "diptych.commands"
_EXTRAS = {
    "eval": ("eval", "Say which model is better on labelled pictures."),
    "verify": ("eval", "Check answers against published or recorded ones."),
}
"""Commands that one of our extras brings: its name, and what the command does."""


class InstalledGroup(ExitCodeGroup):
    """A group that also has the commands of installed packages.

    They are looked for only when a word is none of its own commands, or all are listed, and a
    package is imported only when its command runs. Its own commands win over theirs.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Its own commands, in alphabetical order with those of other packages."""
        return sorted({*super().list_commands(ctx), *_installed()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Its own command, else a placeholder for that of a package."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        entry = _installed().get(cmd_name)
        return None if entry is None else _Placeholder(entry)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names, loaded.

        Raises:
            MissingExtraError: an extra that is not installed would bring it.
        """
        if args and args[0] in _EXTRAS and self.get_command(ctx, args[0]) is None:
            if ctx.resilient_parsing:  # a shell completes
                return None, None, []
            extra, _ = _EXTRAS[args[0]]
            raise MissingExtraError(
                f"{args[0]}: this command needs an extra; run: pip install 'diptych[{extra}]'"
            )
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load(ctx) if isinstance(command, _Placeholder) else command, rest


class _Placeholder(click.Command):
    """A command whose package was not imported."""

    def __init__(self, entry: EntryPoint) -> None:
        super().__init__(entry.name, short_help=_short_help(entry))
        self._entry = entry

    def load(self, ctx: click.Context) -> click.Command:
        """The command itself; ends with a line where it cannot be had."""
        try:
            command: Any = self._entry.load()
        except Exception as error:  # whatever a foreign package raises is its own
            why = f"{type(error).__name__}: {describe(error)}"
        else:
            if isinstance(command, click.Command):
                return command
            why = f"{self._entry.value} is no command"
        if ctx.resilient_parsing:  # a shell completes
            return self
        where = f"the command {self._entry.name!r} of {_package(self._entry)}"
        click.echo(f"diptych: {where} cannot be loaded: {why}", err=True)
        ctx.exit(FAILED)


def _installed() -> dict[str, EntryPoint]:
    """By name; of several of one name, that of the package that is first in the alphabet."""
    found = sorted(entry_points(group=GROUP), key=_package, reverse=True)
    return {entry.name: entry for entry in found}


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module


def _short_help(entry: EntryPoint) -> str:
    if entry.name in _EXTRAS:
        return _EXTRAS[entry.name][1]
    return str(entry.dist.metadata["Summary"] or "") if entry.dist else ""
