"""Lists where the replicas of every model are, for gateways to dial them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

NAME = "directory"
PATH = "/replicas"
ANNOUNCE_S = 1.0
"""How often each replica says where it is."""
SILENT_TICKS = 5
"""A replica that has been silent for so many seconds is not listed any more."""


class Replicas:
    """Addresses by model, and how long each has been silent.

    Silence is counted in ticks of our own: while the process hangs, nobody can be heard, and
    nothing is counted.
    """

    def __init__(self, models: Iterable[str]) -> None:
        self._silent: dict[str, dict[str, int]] = {model_id: {} for model_id in models}
        self._ticks = 0

    @property
    def complete(self) -> bool:
        """Whether every replica had the time to say where it is."""
        return self._ticks >= SILENT_TICKS

    def announce(self, model_id: str, address: str) -> None:
        """Take in that a replica is there."""
        self._silent[model_id][address] = 0

    def leave(self, model_id: str, address: str) -> None:
        """Take in that a replica goes."""
        self._silent[model_id].pop(address, None)

    def tick(self) -> None:
        """Let one second pass."""
        self._ticks += 1
        for replicas in self._silent.values():
            for address in replicas:
                replicas[address] += 1
            heard = {a: silent for a, silent in replicas.items() if silent <= SILENT_TICKS}
            # When all are silent at once, it is this process that is cut off.
            if heard:
                replicas.clear()
                replicas.update(heard)

    def listed(self) -> dict[str, list[str]]:
        """Return addresses as ``host:port`` by model."""
        return {model_id: sorted(replicas) for model_id, replicas in self._silent.items()}


class Directory:
    """``GET /replicas`` answers ``{"replicas": {"sam-2": ["10.0.0.7:50061"]}}``.

    ``?model=sam-2`` lists that model alone. Replicas announce themselves, each by itself: of one
    question to all of them a single dead node would keep the whole answer.
    """

    async def __init__(self, models: Mapping[str, Any]) -> None:  # type: ignore[misc]  # Serve waits
        # Handles of the models would bring requests to them through Ray. They are arguments only so
        # that Serve runs their deployments beside this one.
        self._replicas = Replicas(models)
        self._ticking = asyncio.create_task(self._tick())

    async def announce(self, model_id: str, address: str) -> None:
        """Take in that a replica is there; see ``Replicas``."""
        self._replicas.announce(model_id, address)

    async def leave(self, model_id: str, address: str) -> None:
        """Take in that a replica goes."""
        self._replicas.leave(model_id, address)

    async def __call__(self, request: Request) -> Response:
        """Answer over HTTP."""
        if request.url.path.rstrip("/") != PATH:
            return JSONResponse({"error": f"only {PATH} is here"}, 404)
        if request.method not in ("GET", "HEAD"):
            return JSONResponse({"error": "only GET is answered"}, 405, {"Allow": "GET, HEAD"})
        if not self._replicas.complete:
            # Half a list would have gateways leave replicas that are well.
            text = "the directory has just started: not all replicas have said where they are"
            return JSONResponse({"error": text}, 503, {"Retry-After": "1"})
        listed = self._replicas.listed()
        if model_id := request.query_params.get("model"):
            listed = {name: found for name, found in listed.items() if name == model_id}
        return JSONResponse({"replicas": listed})

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(ANNOUNCE_S)
            self._replicas.tick()
