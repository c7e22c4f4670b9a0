"""``diptych completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_NAME, _VARIABLE = "diptych", "_DIPTYCH_COMPLETE"


@click.command(short_help="Print what makes a shell complete this command.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes a shell complete commands, options, formats, files, and what the
    server at DIPTYCH_ADDRESS or --address has: ids of models and names of classes.

    \b
    bash:  echo 'eval "$(diptych completion bash)"' >> ~/.bashrc
    zsh:   echo 'eval "$(diptych completion zsh)"' >> ~/.zshrc
    fish:  diptych completion fish > ~/.config/fish/completions/diptych.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, _NAME, _VARIABLE).source())
