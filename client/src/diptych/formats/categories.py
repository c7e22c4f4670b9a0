"""The categories of an export: which there are, with one number and one name each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .._types.segment import Segment
from .names import shown
from .picture import Picture

OBJECT = "object"
"""What is found by models that name no classes."""


class Categories:
    """Categories by name; the same name is the same category, whoever found it.

    A category keeps the id that the model gave it, 0 being ``object``, what no model named. An id
    that two names have goes to the first of them, and the other gets the next free one.
    """

    def __init__(self, pictures: Iterable[Picture], known: Mapping[int, str] | None = None) -> None:
        self._known = {number: shown(name) for number, name in (known or {}).items()}
        self._ids: dict[str, int] = {}
        for number, name in self._known.items():
            self._ids.setdefault(name, number)
        wanted: dict[str, int] = {}
        for picture in pictures:
            for segment in picture.segments:
                wanted.setdefault(self.name(segment), segment.category_id)
        taken = set(self._ids.values())
        new = {name: number for name, number in wanted.items() if name not in self._ids}
        late = []
        for name, number in new.items():
            if number in taken:
                late.append(name)
            else:
                self._ids[name] = number
                taken.add(number)
        free = max(taken, default=0) + 1
        self._ids |= {name: free + place for place, name in enumerate(late)}
        self._places = {name: place for place, (_, name) in enumerate(self)}

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Ids and names, in order of the ids."""
        return iter(sorted((number, name) for name, number in self._ids.items()))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ids)

    def name(self, segment: Segment) -> str:
        """What a segment is called."""
        if segment.label:
            return shown(segment.label)
        if segment.category_id in self._known:
            return self._known[segment.category_id]
        return f"category {segment.category_id}" if segment.category_id else OBJECT

    def id(self, segment: Segment) -> int:
        """Its category's id."""
        return self._ids[self.name(segment)]

    def place(self, segment: Segment) -> int:
        """Its category's place in order of the ids, from 0: what formats without ids count."""
        return self._places[self.name(segment)]
