"""What is wrong or strange in a data set, gathered, so that one reading names all of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

_SHOWN = 3  # examples in a sentence
_MAX_PROBLEMS = 1000


class DatasetError(ValueError):
    """A data set that cannot be read as it is.

    Args:
        file: which file; ``None`` where no single one is to blame.
        thing: what in it, such as ``"annotation 7, bbox"``; with a line where there are lines.
        expected: what should be there.
        got: what is there.
    """

    def __init__(self, file: Path | None, thing: str, expected: str, got: str) -> None:
        self.file, self.thing, self.expected, self.got = file, thing, expected, got
        place = thing if file is None else f"{file}: {thing}" if thing else str(file)
        super().__init__(f"{place}: expected {expected}, got {got}")


class DatasetErrors(DatasetError):
    """Several problems of one data set; its text names the first ones."""

    def __init__(self, problems: tuple[DatasetError, ...], *, more: bool = False) -> None:
        first = problems[0]
        super().__init__(first.file, first.thing, first.expected, first.got)
        self.problems = problems
        lines = [str(each) for each in problems[:_SHOWN]]
        rest = len(problems) - _SHOWN
        if rest > 0:
            count = f"at least {rest}" if more else str(rest)
            lines.append(f"and {count} more; `diptych eval check` names them all")
        self.args = ("\n".join(lines),)


@dataclass
class _Warning:
    count: int = 0
    examples: list[str] = field(default_factory=list)


class Findings:
    """Gathers problems, which stop a reading once it is through, and warnings, which do not."""

    def __init__(self) -> None:
        self.problems: list[DatasetError] = []
        self._warnings: dict[str, _Warning] = {}

    def problem(self, file: Path | None, thing: str, expected: str, got: str) -> None:
        """Note what makes the data set unreadable; the reading goes on to find the rest."""
        self.add(DatasetError(file, thing, expected, got))

    def add(self, error: DatasetError) -> None:
        """Note an error that was raised elsewhere."""
        if len(self.problems) <= _MAX_PROBLEMS:
            self.problems.append(error)

    def warn(self, sentence: str, example: str = "", *, count: int = 1) -> None:
        """Note what is strange and how it is read.

        Args:
            sentence: the same for all cases.
            example: where, such as a picture's name; how many there were follows the sentence, and
                the first three examples.
            count: of cases that this call stands for.
        """
        warning = self._warnings.setdefault(sentence, _Warning())
        warning.count += count
        if example and example not in warning.examples and len(warning.examples) < _SHOWN:
            warning.examples.append(example)

    def stop(self) -> None:
        """Raise what was found, if it was more than warnings.

        Raises:
            DatasetError: the one problem, or a ``DatasetErrors`` that holds them all.
        """
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            more = len(self.problems) > _MAX_PROBLEMS
            raise DatasetErrors(tuple(self.problems), more=more)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each kind, in the order in which they came up."""
        return tuple(_sentence(text, each) for text, each in self._warnings.items())


def _sentence(text: str, warning: _Warning) -> str:
    if not warning.examples:
        return text
    more = " …" if warning.count > len(warning.examples) else ""
    return f"{text.rstrip('.')}: {warning.count:,} ({', '.join(warning.examples)}{more})."
