"""A name server on the loopback interface whose one name has the addresses that a test wants."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

_A, _IN = 1, 1
_HEADER = struct.Struct("!HHHHHH")
_ANSWER = struct.Struct("!HHHIH")
_IS_ANSWER = 0x8580
_NAME_OF_QUESTION = 0xC00C
_SECONDS_TO_LIVE = 0


class Names(asyncio.DatagramProtocol):
    """Answers every question for an IPv4 address with all of ``addresses``."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = list(addresses)
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        number, _, questions, *_ = _HEADER.unpack_from(data)
        end = data.index(b"\0", _HEADER.size) + 5
        question = data[_HEADER.size : end]
        (kind,) = struct.unpack_from("!H", question, len(question) - 4)
        addresses = self.addresses if kind == _A else []
        start = _ANSWER.pack(_NAME_OF_QUESTION, _A, _IN, _SECONDS_TO_LIVE, 4)
        records = b"".join(start + socket.inet_aton(address) for address in addresses)
        header = _HEADER.pack(number, _IS_ANSWER, questions, len(addresses), 0, 0)
        self._transport.sendto(header + question + records, addr)

    def target(self, port: int) -> str:
        """What gRPC dials to reach ``port`` of every address."""
        return f"dns://127.0.0.1:{self.port}/model.test:{port}"


@asynccontextmanager
async def running_names(*addresses: str) -> AsyncIterator[Names]:
    """A name server that runs."""
    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(
        lambda: Names(addresses), local_addr=("127.0.0.1", 0)
    )
    try:
        yield names
    finally:
        transport.close()
