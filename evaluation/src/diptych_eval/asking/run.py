"""Asks what was not answered yet, a few pictures at a time, and keeps every answer at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import islice
from pathlib import Path

from diptych import (
    AuthenticationError,
    DiptychError,
    ModelNotFoundError,
    UnsupportedCallError,
    UnsupportedTaskError,
)

from ..results import Answer, Cost
from .items import Item, sha256_of
from .patience import Patience, is_by_picture
from .plan import Question
from .store import AnswerFile, answer_file, identity_of, key_of
from .watching import Watcher

_PASSES = 3
_PROBES = 3
_ENDS = (AuthenticationError, ModelNotFoundError, UnsupportedCallError, UnsupportedTaskError)
"""What every further picture would be answered with, too."""


class Asking:
    """Asks questions one after the other.

    Args:
        results: folder of the run.
        jobs: pictures asked at a time.
        patience: seconds without any answer after which it gives up.
        watcher: is told of each answer.
    """

    def __init__(self, results: Path, *, jobs: int, patience: float, watcher: Watcher) -> None:
        self._results = results
        self._jobs = jobs
        self._patience = Patience(patience, watcher)
        self._watcher = watcher
        self._digests: dict[tuple[Path, ...], str] = {}

    def answers(self, question: Question, items: Sequence[Item]) -> AnswerFile:
        """Answers to all items, of one set of weights, tier and software.

        Answers that are in the file are used while they are of this picture, these options and
        what answers now; those that were refused are asked again. The caller closes the file.

        Raises:
            DiptychError: nothing was answered for too long, or nothing ever would be.
            OSError, ValueError: the file cannot be used.
        """
        file = answer_file(self._results, question.card.id, question.task.value)
        try:
            if file.torn:
                self._watcher.said(f"{file.path}: the last line was cut off, and is asked again")
            self._fill(file, items, question.card.id)
            file.settle([item.name for item in items])
        except BaseException:
            file.close()
            raise
        return file

    def _fill(self, file: AnswerFile, items: Sequence[Item], model_id: str) -> None:
        fitting = [item for item in items if self._fits(file, item)]
        there = {item.name for item in fitting}
        for _ in fitting:
            self._watcher.advanced()
        asked = self._ask(file, [item for item in items if item.name not in there])
        now = _who(asked) or self._probed(file, fitting, model_id)
        for _ in range(_PASSES):
            stale = [item for item in items if not self._is_by(file, item, now)] if now else []
            if not stale:
                return
            self._watcher.said(
                f"{model_id}: {len(stale)} answers are of other weights, another tier or software, "
                "and are asked again"
            )
            now = _who(self._ask(file, stale, again=True)) or now
        raise ValueError(
            f"model {model_id!r}: expected answers of one set of weights, tier and software, got "
            "several: its replicas differ, or it is being replaced"
        )

    def _probed(
        self, file: AnswerFile, fitting: Sequence[Item], model_id: str
    ) -> dict[str, str] | None:
        """Who answers now, learned from a picture that has an answer already."""
        error = ""
        for item in fitting[:_PROBES]:
            answer = self._one(item)
            if not answer.error:
                file.add(answer)
                return identity_of(answer)
            error = answer.error
        if error:
            raise ValueError(f"model {model_id!r}: it refuses what it has answered before: {error}")
        return None

    def _ask(self, file: AnswerFile, items: Sequence[Item], *, again: bool = False) -> list[Answer]:
        """Asks, and keeps what is answered; what is returned has no values, to save memory."""
        asked = []
        try:
            for answer in _answered(items, self._one, self._jobs):
                file.add(answer)
                asked.append(replace(answer, value={}))
                if not again:
                    self._watcher.advanced()
                if answer.error:
                    self._watcher.said(f"{answer.name}: {answer.error}")
        except BaseException:
            self._patience.stop()
            raise
        return asked

    def _one(self, item: Item) -> Answer:
        try:
            answer = self._patience.ask(item.ask)
        except _ENDS:
            raise
        except (DiptychError, OSError, ValueError) as error:
            if not is_by_picture(error):
                raise
            reason = error.reason if isinstance(error, DiptychError) else type(error).__name__
            text = " ".join(str(error).split())
            return Answer(item.name, "", {}, Cost(0.0, 0.0, 0), error=text, error_reason=reason)
        return replace(answer, key=key_of(self._sha256(item), identity_of(answer), item.options()))

    def _fits(self, file: AnswerFile, item: Item) -> bool:
        line = file.line(item.name)
        if line is None or line.failed:
            return False
        try:
            picture = self._sha256(item)
        except OSError:  # is told when it is asked about
            return False
        return line.key == key_of(picture, line.identity, item.options())

    def _is_by(self, file: AnswerFile, item: Item, identity: dict[str, str]) -> bool:
        line = file.line(item.name)
        return line is not None and (line.failed or line.identity == identity)

    def _sha256(self, item: Item) -> str:
        if item.files not in self._digests:
            self._digests[item.files] = sha256_of(item.files)
        return self._digests[item.files]


def _who(answers: Sequence[Answer]) -> dict[str, str] | None:
    """What gave the last of them; ``None`` if all were refused."""
    return next((identity_of(each) for each in reversed(answers) if not each.error), None)


def _answered(items: Sequence[Item], ask: Callable[[Item], Answer], jobs: int) -> Iterator[Answer]:
    """Answers as they come, no more than ``jobs`` being asked for at a time."""
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="diptych-eval")
    rest, waiting = iter(items), set[Future[Answer]]()
    try:
        while True:
            waiting |= {pool.submit(ask, item) for item in islice(rest, jobs - len(waiting))}
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for each in done:
                yield each.result()
    finally:
        # Calls that are on their way end at their deadline or when the client is closed.
        pool.shutdown(wait=False, cancel_futures=True)
