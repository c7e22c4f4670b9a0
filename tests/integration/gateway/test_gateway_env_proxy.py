"""A proxy in the environment does not stand between a gateway and its models, unless asked to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest


@pytest.fixture
async def proxy() -> AsyncIterator[tuple[str, list[bytes]]]:
    """An HTTP proxy: its address, and what was asked of it."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        host, port = head.split()[1].decode().rsplit(":", 1)
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://user:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    server.close()


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
async def test_models_are_asked_without_a_proxy(
    stage: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    await stage.serve(await stage.model("one"))
    answer = await stage.http().post("/api/segment", **stage.form(model="one"))
    assert answer.status_code == 200


async def test_a_setting_asks_models_by_a_proxy_which_the_log_names(
    stage: Any,
    monkeypatch: pytest.MonkeyPatch,
    proxy: tuple[str, list[bytes]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    url, asked = proxy
    monkeypatch.setenv("http_proxy", url)
    model = await stage.model("one")
    await stage.serve(model, proxy_to_services=True)
    answer = await stage.http().post("/api/segment", **stage.form(model="one"))
    assert answer.status_code == 200
    assert asked
    assert set(asked) == {f"CONNECT {model.address} HTTP/1.1".encode()}
    said = capfd.readouterr()
    text = said.out + said.err
    assert "model is asked by a proxy" in text
    assert url.rpartition("@")[2] in text
    assert "secret" not in text
