"""A local web site that breaks in the ways that real ones do, and a converter for its file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from diptych_runtime.weights import OfficialWeights

CHECKPOINT = b"CKPT" + bytes(i * 7 % 251 for i in range(300_000))
CUT = 100_000  # bytes sent before a break
CONVERTER = """
import json, sys
data = open(sys.argv[1], "rb").read()
if not data.startswith(b"CKPT"):
    raise SystemExit("unknown checkpoint")
body = data[4:12]
header = json.dumps({"x": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}).encode()
open(sys.argv[2], "wb").write(len(header).to_bytes(8, "little") + header + body)
"""


@dataclass
class Site:
    """A local web site with one file and the behaviour that a test asks for."""

    content: bytes = CHECKPOINT
    etag: str | None = '"one"'
    ranges: bool = True
    cut_after: int | None = None
    """The connection ends after this many bytes of the body, once."""
    status: int | None = None
    redirects: list[str] = field(default_factory=list)
    """Where requests are sent to, one after the other, before one is answered."""
    headers: dict[str, str] = field(default_factory=dict)
    """Further headers of an answer, or others instead of what it would have."""
    seen: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    def weights(self, name: str = "tiny", *, sha256: str | None = None) -> OfficialWeights:
        url = f"http://127.0.0.1:{self.port}/models/{name}.pth"
        return OfficialWeights(name, url, len(CHECKPOINT), 8, sha256)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.seen.append({"path": request.path, **dict(request.headers)})
        if self.status is not None:
            request.send_error(self.status)
            return
        if self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects.pop(0))
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        start = self._start(request)
        if start >= len(self.content) > 0:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.content)}")
            request.end_headers()
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        if start:
            last = len(self.content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        if self.etag is not None:
            request.send_header("ETag", self.etag)
        for name, value in ({"Content-Length": str(len(body))} | self.headers).items():
            request.send_header(name, value)
        request.end_headers()
        cut, self.cut_after = self.cut_after, None
        request.wfile.write(body[:cut])
        request.close_connection = True

    def _start(self, request: BaseHTTPRequestHandler) -> int:
        asked = request.headers.get("Range")
        if not self.ranges or asked is None:
            return 0
        if request.headers.get("If-Range") != self.etag:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))


@contextmanager
def running_site() -> Iterator[Site]:
    """Serve a ``Site`` on a free port of the loopback."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
