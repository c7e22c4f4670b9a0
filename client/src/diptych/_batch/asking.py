"""Asking for one picture until there is an answer, or it is clear that there is none."""

from __future__ import annotations

import asyncio

from .._arguments import RequestOptions
from .._async_client import AsyncClient
from .._many.again import ATTEMPTS, FIRST_WAIT_S, Hope, is_by_picture
from .._many.pace import Pace
from .._types.cards import ModelCard
from .._types.errors import (
    AuthenticationError,
    DeadlineExceededError,
    DiptychError,
    ModelNotFoundError,
    OverloadedError,
    RequestCancelledError,
    UnavailableError,
    UnsupportedCallError,
    UnsupportedTaskError,
)
from .._types.results import SegmentResult
from ..wire.reasons import Reason
from .rows import Row, row_of_error, row_of_result
from .sources import Picture

# What every other picture would be told, too.
_OF_ALL = (AuthenticationError, ModelNotFoundError, UnsupportedTaskError, UnsupportedCallError)
_LATER = (DeadlineExceededError, OverloadedError, RequestCancelledError, UnavailableError)


class Asker:
    """Asks for pictures; what a server has no room for is asked again when it suggests to.

    A picture that gets no answer in time, or that kills or fills the engine, is asked three times.
    The batch ends, to be gone on with, when nothing was answered for ``patience`` seconds.
    """

    def __init__(
        self, client: AsyncClient, options: RequestOptions, *, jobs: int, patience: float
    ) -> None:
        self._client = client
        self.options = options
        self._hope = Hope(patience)
        self._pace = Pace(jobs)

    async def card(self) -> ModelCard:
        """The card of the model, once it is there.

        Raises:
            DiptychError: no server answers, or not for ``patience`` seconds, or not for this
                caller and model.
        """
        waits = 0
        while True:
            try:
                card = await self._client.model_card(self.options.model_id or None)
            except DiptychError as error:
                # Without a reason it is not our server that speaks: a wrong address, most often.
                if not error.reason or not isinstance(error, _LATER):
                    raise
                await self._wait(error, waits)
                waits += 1
            else:
                self._hope.hear()
                return card

    async def row(
        self, picture: Picture, card: ModelCard, card_sha256: str
    ) -> tuple[Row, Exception | None]:
        """The row of a picture, and the error if it failed.

        Raises:
            DiptychError: none of the others would be answered either.
            OSError, ValueError: the same, for a token that cannot be read.
        """
        waits = attempts = 0
        while True:
            try:
                return await self._attempt(picture, card_sha256), None
            except _FailedError as failed:
                error = failed.error
                return row_of_error(picture.path, error, card.id, card_sha256), error
            except _LATER as later:
                late = isinstance(later, DeadlineExceededError)
                attempts += late or is_by_picture(later)
                if attempts >= ATTEMPTS:
                    return row_of_error(picture.path, later, card.id, card_sha256), later
                await self._wait(later, waits)
            waits += 1

    async def _attempt(self, picture: Picture, card_sha256: str) -> Row:
        async with self._pace:
            # Read again for each attempt, so that what waits takes no memory.
            data = await _read(picture)
            try:
                result = await self._ask(data)
            except _LATER:
                self._pace.refused()
                raise
            self._hear()
            return await asyncio.to_thread(row_of_result, picture.path, result, card_sha256)

    async def _ask(self, data: bytes) -> SegmentResult:
        options = self.options
        try:
            return await self._client.segment(
                data,
                model=options.model_id or None,
                task=options.task,
                prompts=options.prompts,
                output=options.output,
                automatic=options.automatic,
            )
        except (*_OF_ALL, *_LATER):
            raise
        except DiptychError as error:
            self._hear()
            if error.reason == Reason.OPTION_INVALID:
                raise
            raise _FailedError(error) from error

    def _hear(self) -> None:
        self._hope.hear()
        self._pace.answered()

    async def _wait(self, error: DiptychError, waits: int) -> None:
        wait_s = self._hope.wait_s(error, waits)
        if wait_s is None:
            raise error
        await asyncio.sleep(wait_s)


class _FailedError(Exception):
    """This picture will not be answered, others may be."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


async def _read(picture: Picture) -> bytes:
    """The bytes of a picture; one that is far away is tried again."""
    attempts = 1 if picture.fs is None else ATTEMPTS
    while True:
        try:
            return await asyncio.to_thread(picture.read)
        except Exception as error:  # broken files raise whatever they lead Pillow to
            attempts -= 1
            final = isinstance(error, (FileNotFoundError, PermissionError, DiptychError))
            if final or not isinstance(error, OSError) or not attempts:
                raise _FailedError(error) from error
        await asyncio.sleep(FIRST_WAIT_S)
