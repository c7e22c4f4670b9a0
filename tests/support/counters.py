"""What Prometheus makes of a page of figures, and whether a counter on it has fallen since."""

from __future__ import annotations

from typing import TypeAlias

from prometheus_client.parser import text_string_to_metric_families

Samples: TypeAlias = dict[tuple[str, ...], float]
"""Values by the name of the sample and its labels as ``name=value``."""
_COUNTING = ("counter", "histogram", "summary")


def samples(text: str, *, only_counting: bool = False) -> Samples:
    """Every sample of a page, or those that may never fall."""
    return {
        (sample.name, *(f"{label}={value}" for label, value in sorted(sample.labels.items()))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        if not only_counting or family.type in _COUNTING
        for sample in family.samples
    }


def fallen(before: str, after: str) -> list[str]:
    """What counts on the first page and is lower on the second one, or not there any more."""
    later = samples(after, only_counting=True)
    return [
        f"{key}: {value:g} became {later.get(key, 'nothing')}"
        for key, value in samples(before, only_counting=True).items()
        if later.get(key, -1.0) < value
    ]
