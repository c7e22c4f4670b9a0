"""The replies to a comparison, whole or result by result, whatever transport asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from diptych.segment import v1 as pb
from diptych.wire.comparison import agreements_event, comparison_message, outcome_event
from diptych.wire.statuses import code_of
from diptych_runtime.calls import log_fields

from .fanout import FanOut, fit_reply


async def compared(fan_out: FanOut) -> pb.CompareResponse:
    """Collect every result in the order asked, then the agreements."""
    results: dict[str, pb.ModelResult] = {}

    def keep(result: pb.ModelResult) -> None:
        results[result.model_id] = result

    agreements = await fan_out.run(keep)
    ordered = [results[model_id] for model_id in fan_out.plan.model_ids]
    fit_reply(ordered)
    _log_results(ordered)
    return comparison_message(ordered, agreements)


class ComparisonStream:
    """Asks the models in a task of its own, from the moment it is made.

    A task group must not span a yield, because a generator that is left there is closed from
    another task, and late: whoever notices first that the client has left calls ``cancel``.
    """

    def __init__(self, fan_out: FanOut) -> None:
        self._events: asyncio.Queue[pb.ModelResult | None] = asyncio.Queue()
        self._running = asyncio.create_task(fan_out.run(self._events.put_nowait))
        self._running.add_done_callback(lambda _: self._events.put_nowait(None))

    def cancel(self) -> None:
        """End the work."""
        self._running.cancel()

    async def events(self) -> AsyncIterator[pb.StreamCompareResponse]:
        """Yield results as they come, the agreements last."""
        results = []
        try:
            while (result := await self._events.get()) is not None:
                fit_reply([result])
                results.append(result)
                yield outcome_event(result)
            agreements = await self._running
            _log_results(results)
            yield agreements_event(agreements)
        finally:
            self.cancel()


def _log_results(results: Sequence[pb.ModelResult]) -> None:
    log_fields(results={result.model_id: code_of(result.error).name for result in results})
