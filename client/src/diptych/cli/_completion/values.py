"""Values that only the server knows, and paths where a command takes more than these."""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem

from ... import Client, KnownModel, ModelCard, UnsupportedCallError
from .._security import security

_TIMEOUT_S = 2.0  # a person waits behind TAB


def complete_models(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Ids of the models of the server, none where it does not answer soon."""
    return [
        CompletionItem(one.model_id, help=one.card.display_name if one.card else None)
        for one in _known(context)
        if one.model_id.startswith(begun)
    ]


def complete_categories(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Names of classes of the model that was named, or of all."""
    given = context.params.get("model") or context.params.get("models")
    chosen = {given} if isinstance(given, str) else set(given or ())
    cards = [one.card for one in _known(context) if not chosen or one.model_id in chosen]
    names = {category.name for card in cards if card for category in card.categories}
    wanted = begun.strip("'\"").casefold()
    return [CompletionItem(_word(one)) for one in sorted(names) if one.startswith(wanted)]


def complete_paths(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Whatever files the shell finds."""
    return [CompletionItem(begun, type="file")]


def _known(context: click.Context) -> tuple[KnownModel, ...]:
    try:
        with (
            context.scope(cleanup=False),
            Client(context.params.get("address"), timeout=_TIMEOUT_S, **security()) as client,
        ):
            try:
                return client.model_cards()
            except UnsupportedCallError:
                card: ModelCard = client.model_card()
                return (KnownModel(card.id, card, None),)
    except Exception:  # whatever is wrong: a line that is being typed is no place to say so
        return ()


def _word(name: str) -> str:
    """A name as a word: other shells quote by themselves."""
    in_bash = os.environ.get("_DIPTYCH_COMPLETE", "").startswith("bash")
    return f'"{name}"' if in_bash and " " in name else name
