"""Replicas of one model that are not the same: which card is shown of it, and what is said.

During a roll-out some replicas have other weights than others. Both kinds answer, each answer names
its weights in its provenance, and health and cards name the replicas that differ. A service with
another id is no replica of the model, and is sent nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from diptych.segment import v1 as pb
from diptych.wire.cards import weights_of

_DIGEST_SHOWN = 12
_FIELDS_SHOWN = 5


def shown_card(cards: Sequence[pb.ModelCard], before: pb.ModelCard | None) -> pb.ModelCard | None:
    """Choose the card that is shown of a model, of those of the replicas that serve.

    That of the weights which most of them have; of as many, those shown so far, so that what is
    shown changes once in a roll-out and not with each replica that comes or goes.
    ``before`` also if there are no cards.
    """
    if not cards:
        return before
    counts = Counter(map(weights_of, cards))
    most = max(counts.values())
    leading = [weights for weights, count in counts.items() if count == most]
    so_far = weights_of(before) if before else ()
    weights = so_far if so_far in leading else leading[0]
    candidates = [card for card in cards if weights_of(card) == weights]
    return before if before in candidates else candidates[0]


def difference(card: pb.ModelCard | None, shown: pb.ModelCard | None) -> str:
    """Say how a replica's card differs from the one shown; empty if it does not or is not known."""
    if card is None or shown is None or card == shown:
        return ""
    if weights_of(card) != weights_of(shown):
        digests = " and ".join(_short(digest) for digest in weights_of(shown)) or "none"
        return f"other weights than the card that is shown, which names {digests}"
    names = [field.name for field in card.DESCRIPTOR.fields]
    fields = [name for name in names if getattr(card, name) != getattr(shown, name)]
    more = f" and {len(fields) - _FIELDS_SHOWN} more" if len(fields) > _FIELDS_SHOWN else ""
    return f"its card differs in {', '.join(fields[:_FIELDS_SHOWN])}{more}"


def unfit(card: pb.ModelCard, model_id: str) -> str:
    """Say why a service is no replica of a model; empty if it is one."""
    if card.id == model_id:
        return ""
    return f"calls itself {card.id[:100]!r}"


def _short(digest: bytes) -> str:
    return digest.hex()[:_DIGEST_SHOWN]
