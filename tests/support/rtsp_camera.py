"""A camera that speaks RTSP: MPEG-4 over RTP, interleaved, to whoever asks; cut off at will."""

from __future__ import annotations

import io
import socket
import struct
import threading
from contextlib import suppress
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av
import numpy as np

_RATE, _CLOCK, _PAYLOAD = 25, 90_000, 1_300


class RtspCamera:
    """Shows grey pictures, each lighter than the one before, 25 of them a second."""

    def __init__(self, size: tuple[int, int] = (48, 64)) -> None:
        self._config, self._pictures = _encoded(size)
        self._server = socket.create_server(("127.0.0.1", 0))
        port = self._server.getsockname()[1]
        self.address = f"rtsp://127.0.0.1:{port}/camera"
        self.address_with_password = f"rtsp://alice:pass-word@127.0.0.1:{port}/camera"
        self.visits = 0
        self._ends = threading.Event()
        self._talks: list[socket.socket] = []

    def cut(self) -> None:
        """End every connection, as a camera that is switched off and on."""
        while self._talks:
            talk = self._talks.pop()
            with suppress(OSError):
                talk.shutdown(socket.SHUT_RDWR)

    def switch_off(self) -> None:
        """End every connection, and take no more."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def _serve(self) -> None:
        while not self._ends.is_set():
            try:
                talk, _ = self._server.accept()
            except OSError:
                return
            self._talks.append(talk)
            threading.Thread(target=self._talk, args=(talk,), daemon=True).start()

    def _talk(self, talk: socket.socket) -> None:
        with talk, suppress(OSError), talk.makefile("rb") as lines:
            while request := lines.readline().decode().strip():
                heads = dict(self._heads(lines))
                method, url, _ = request.split(" ")
                more, body = self._answer(method, url, heads)
                text = f"RTSP/1.0 200 OK\r\nCSeq: {heads['cseq']}\r\n{more}\r\n{body}"
                talk.sendall(text.encode())
                if method == "PLAY":
                    self.visits += 1
                    self._play(talk)
                    return

    def _heads(self, lines: Any) -> Any:
        while line := lines.readline().decode().strip():
            name, _, value = line.partition(":")
            yield name.lower(), value.strip()

    def _answer(self, method: str, url: str, heads: dict[str, str]) -> tuple[str, str]:
        if method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n"
                f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/{_CLOCK}\r\n"
                f"a=fmtp:96 profile-level-id=1;config={self._config.hex()}\r\na=control:track\r\n"
            )
            return f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n", body
        if method == "SETUP":
            return f"Transport: {heads['transport']}\r\nSession: 1\r\n", ""
        return "Session: 1\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""

    def _play(self, talk: socket.socket) -> None:
        sequence = 0
        for number in range(100_000):
            picture = self._pictures[number % len(self._pictures)]
            for at in range(0, len(picture), _PAYLOAD):
                part = picture[at : at + _PAYLOAD]
                last = at + _PAYLOAD >= len(picture)
                time = number * _CLOCK // _RATE
                head = struct.pack(">BBHII", 0x80, 96 | last << 7, sequence % 65536, time, 7)
                talk.sendall(struct.pack(">cBH", b"$", 0, 12 + len(part)) + head + part)
                sequence += 1
            if self._ends.wait(1 / _RATE):
                return

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.set()
        self.switch_off()


def _encoded(size: tuple[int, int]) -> tuple[bytes, list[bytes]]:
    """What the decoder has to know beforehand, and pictures that each stand alone."""
    height, width = size
    with av.open(io.BytesIO(), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=_RATE)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        context = stream.codec_context
        context.gop_size, context.time_base = 1, Fraction(1, _RATE)
        container.start_encoding()
        pictures = []
        for number in range(_RATE):
            pixels = np.full((height, width, 3), 40 + 6 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number
            pictures += [bytes(packet) for packet in stream.encode(frame)]
        return bytes(context.extradata or b""), pictures
