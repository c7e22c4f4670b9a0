"""``diptych eval``: commands, and a data set where the first word is none."""

from __future__ import annotations

import click

from ._check import check
from ._evaluate import evaluate_command
from ._results import card, compare, report

RUN = "run"


class DatasetGroup(click.Group):
    """A group whose first argument is a data set unless it is the name of a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the word that is left out before a data set, or before the options of its command."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [RUN, *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show both forms."""
        formatter.write_usage(ctx.command_path, "DATASET --out RESULTS [OPTIONS]")
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...", prefix="       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options that go with a data set, and the commands."""
        click.Command.format_options(self.commands[RUN], ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(
    name="eval",
    cls=DatasetGroup,
    short_help="Say which model is better on labelled pictures.",
    commands={
        RUN: evaluate_command,
        "check": check,
        "report": report,
        "compare": compare,
        "card": card,
    },
)
def evaluation() -> None:
    """Say which model is better on your own labelled pictures, and how sure that is.

    DATASET is a folder, or the file that describes it: COCO, YOLO, Pascal VOC, Cityscapes, DAVIS or
    SA-V. All models are asked about its pictures; RESULTS gets figures with intervals, a report
    and every answer. The same command again goes on where it ended, however it ended.

    \b
    Examples:
      diptych eval check photos/instances.json
      diptych eval photos/instances.json --out results --dry-run
      diptych eval photos/instances.json --out results
      diptych eval photos/instances.json --model mask-rcnn --limit 100 --out results \\
        --fail-under "mask-rcnn:segm/AP=0.35"
    """
