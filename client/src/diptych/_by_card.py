"""What people ask for, looked up in the cards of the models that they ask."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ._types.cards import ModelCard
from ._types.errors import InvalidRequestError, UnsupportedTaskError
from ._types.prompts import AutomaticOptions, OutputOptions

_SHOWN = 12
"""Names that an error lists."""


def with_categories(
    output: OutputOptions, wanted: Sequence[str], cards: Iterable[ModelCard]
) -> OutputOptions:
    """Options that ask for these categories only, by name or number, of the models with classes.

    Raises:
        InvalidRequestError: a model has no such category, or two call different numbers so.
        UnsupportedTaskError: no model has classes.
    """
    if not wanted:
        return output
    cards = list(cards)
    found = {card.id: category_ids(wanted, card) for card in cards if card.categories}
    if not found:
        names = ", ".join(card.id for card in cards) or "the server"
        raise UnsupportedTaskError(f"category: {names} has no classes to choose from")
    (first, ids), *others = found.items()
    for other, numbers in others:
        if numbers != ids:
            raise InvalidRequestError(
                f"category: {first} and {other} have other numbers for {', '.join(wanted)}: "
                "ask them one by one"
            )
    return replace(output, category_ids=ids)


def check_automatic(automatic: AutomaticOptions | None, cards: Iterable[ModelCard]) -> None:
    """See that a model has the mode that these options are for: others ignore them.

    Raises:
        UnsupportedTaskError: none has it.
    """
    cards = list(cards)
    if automatic is not None and not any(card.default_automatic for card in cards):
        names = ", ".join(card.id for card in cards) or "the server"
        raise UnsupportedTaskError(
            f"automatic: expected a model that tries a grid of points, got {names}"
        )


def category_ids(wanted: Sequence[str], card: ModelCard) -> tuple[int, ...]:
    """The numbers of categories in a model's card; capitals do not matter.

    Raises:
        InvalidRequestError: there is no such category; the text names some that there are.
    """
    numbers = {str(category.id): category.id for category in card.categories}
    names = {category.name.casefold(): category.id for category in card.categories}
    ids = []
    for one in wanted:
        key = one.strip().casefold()
        number = names.get(key, numbers.get(key))
        if number is None:
            known = [category.name for category in card.categories]
            raise InvalidRequestError(
                f"category: expected one of {card.id}'s, such as {_such_as(key, known)}; "
                f"got {one!r}"
            )
        ids.append(number)
    return tuple(dict.fromkeys(ids))


def _such_as(key: str, known: Sequence[str]) -> str:
    lower = {name.casefold(): name for name in known}
    near = [lower[name] for name in difflib.get_close_matches(key, lower, n=3)]
    return ", ".join(near or known[:_SHOWN])
