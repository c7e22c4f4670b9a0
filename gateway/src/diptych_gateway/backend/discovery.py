"""Finds the replicas of a model, again and again: a name or a directory says where they are now.

What fails changes nothing: the replicas found last stay in use, and the log and ``problem`` say
once what is wrong. Losing a name server must not lose the models that it once named.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from .addresses import MOST_REPLICAS, Directory, Fixed, Name, Source, join_address, repeated
from .directory import DiscoveryError, ask, read_answer

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

LOOK_S = 5.0
_ANSWER_S = 4.0
_SHOWN = 20

Resolver = Callable[[str, int], Sequence[str]]
"""Blocks until it knows every ``host:port`` of a name; raises an ``OSError``."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system for every address of a name: those of IPv4, or without any those of IPv6.

    Of both kinds they are the same machines twice, as ``localhost`` is ``127.0.0.1`` and ``::1``.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    kinds = {family for family, *_ in found}
    kind = socket.AF_INET if socket.AF_INET in kinds else socket.AF_INET6
    return [join_address(str(where[0]), port) for family, *_, where in found if family == kind]


class Discovery:
    """Where the replicas of one model are: ``addresses``, none before a name or a directory was
    first asked. ``problem`` says why they were last looked up in vain, for whoever asks, without
    addresses; it is empty while all is well. ``since`` says when either began."""

    def __init__(
        self,
        model_id: str,
        source: Source,
        *,
        ca: Path | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        """``ca`` has the authority of a directory at ``https``; without one the system says whom to
        trust."""
        self.addresses: tuple[str, ...] = source.addresses if isinstance(source, Fixed) else ()
        self.problem = ""
        self.since = datetime.now(UTC)
        self._model_id = model_id
        self._source = source
        self._ca = ca
        self._said: set[str] = set()
        self._resolver = resolver
        self._resolving: asyncio.Future[Sequence[str]] | None = None

    @property
    def names(self) -> Mapping[str, str]:
        """What the certificate of an address has to name, as ``host:port``, where it is not that
        address."""
        if not isinstance(self._source, Name):
            return {}
        return dict.fromkeys(self.addresses, self._source.address)

    async def run(self, found: Callable[[Sequence[str], Mapping[str, str]], None]) -> None:
        """Look every 5 s until cancelled; ``found`` gets the addresses and their ``names`` when
        they are others."""
        if isinstance(self._source, Fixed):
            return
        while True:
            if await self.look():
                found(self.addresses, self.names)
            await asyncio.sleep(LOOK_S * random.uniform(0.9, 1.1))  # gateways at different times

    async def look(self) -> bool:
        """Look once; returns whether the addresses are others now."""
        before = self.addresses
        try:
            async with asyncio.timeout(_ANSWER_S):
                self.addresses = self._checked(await self._find())
        except TimeoutError:
            self._say(f"{self._asked} did not answer within {_ANSWER_S:g} s", "")
        except DiscoveryError as error:
            self._say(str(error), error.detail)
        except Exception as error:  # or nobody would look again
            self._say(f"{self._asked} cannot be used", repr(error))
        return self.addresses != before

    @property
    def _asked(self) -> str:
        return "the directory" if isinstance(self._source, Directory) else "the name server"

    async def _find(self) -> Sequence[str]:
        if isinstance(self._source, Directory):
            body = await ask(self._source.url, self._ca)
            return await asyncio.to_thread(read_answer, body, self._model_id)
        if isinstance(self._source, Name):
            return sorted(set(await self._resolved(self._source)))
        return self.addresses

    async def _resolved(self, name: Name) -> Sequence[str]:
        # One question at a time: a name server that is gone may hold one for half a minute.
        if self._resolving is None:
            self._resolving = _in_thread(lambda: self._resolver(name.host, name.port))
        resolving = self._resolving
        await asyncio.wait({resolving})
        self._resolving = None
        try:
            return resolving.result()
        except (OSError, UnicodeError) as error:
            raise DiscoveryError("the name of its services is not known", str(error)) from error

    def _checked(self, found: Sequence[str]) -> tuple[str, ...]:
        if not found or len(found) > MOST_REPLICAS:
            few = f"{len(found)} addresses, of which at most {MOST_REPLICAS} can be used"
            raise DiscoveryError(f"{self._asked} has {few if found else 'no address'} for it")
        twice = repeated(found)
        self._say(
            f"{self._asked} names an address twice" if twice else "", ", ".join(twice[:_SHOWN])
        )
        return tuple(dict.fromkeys(found))

    def _say(self, problem: str, detail: str) -> None:
        """Keep what is wrong, and log it unless that was done since all was well last."""
        if bool(problem) != bool(self.problem):
            self.since = datetime.now(UTC)
        self.problem = problem
        fields = {"model": self._model_id, "source": _written(self._source)}
        if problem and problem not in self._said:
            self._said.add(problem)
            stays = list(self.addresses[:_SHOWN])
            _log.warning("looking for replicas", **fields, cause=problem, detail=detail, stay=stays)
        elif not problem and self._said:
            self._said.clear()
            _log.info("looking for replicas works again", **fields)


def _written(source: Source) -> str:
    if isinstance(source, Fixed):
        return "|".join(source.addresses)
    return source.url if isinstance(source, Directory) else source.address


def _in_thread(work: Callable[[], Sequence[str]]) -> asyncio.Future[Sequence[str]]:
    """Run it in a thread of its own: it may hang, and then holds up no other work and no exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Sequence[str]] = loop.create_future()

    def settle(result: Sequence[str], error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        result: Sequence[str] = ()
        failure = None
        try:
            result = work()
        except Exception as error:
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    threading.Thread(target=run, name="names", daemon=True).start()
    return done
