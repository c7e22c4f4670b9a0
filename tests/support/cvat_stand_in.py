"""What CVAT's own SDK and agents ask of a server, for tests: one task, and the queue of a function.

CVAT's server is no Python package. This one speaks those paths of its REST interface that
``cvat_sdk.auto_annotation.annotate_task`` and ``cvat-cli function`` call, and keeps what they send.
"""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cvat_cli.version import VERSION

TOKEN = "a-token-of-the-tests"
TASK = 7
FUNCTION = 3
_NEVER = "2026-01-02T03:04:05Z"


@dataclass
class Label:
    """A label of the task."""

    name: str
    kind: str = "any"
    points: Sequence[str] = ()

    def document(self, number: int) -> dict[str, Any]:
        """As ``GET /api/labels`` lists it."""
        common = {"color": "#ff0000", "attributes": [], "has_parent": False}
        parts = [
            {**common, "id": number * 100 + i, "name": name, "type": "points", "has_parent": True}
            for i, name in enumerate(self.points, start=1)
        ]
        return {**common, "id": number, "name": self.name, "type": self.kind, "sublabels": parts}


@dataclass
class CvatStandIn:
    """A server with one task; what it was sent stays readable."""

    frames: Sequence[bytes] = ()
    """PNG or JPEG files."""
    sizes: Sequence[tuple[int, int]] = ()
    """Height and width of each."""
    labels: Sequence[Label] = ()
    url: str = ""
    uploads: list[dict[str, Any]] = field(default_factory=list)
    """Annotations that were put into the task."""
    functions: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Waiting annotation requests: the ``ar_params`` of each. One may be a callable of results."""
    results: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of finished ones, in order; failed ones have ``exc_info``."""
    asked: list[str] = field(default_factory=list)
    """Methods and paths, as they came."""

    def label_ids(self) -> dict[str, int]:
        """The task's numbers of its labels."""
        return {label.name: i for i, label in enumerate(self.labels, start=11)}

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        """What a path answers with: JSON, bytes, or ``None`` for 404."""
        task = f"/api/tasks/{TASK}"
        fixed = {
            "/api/server/about": self._about,
            task: self._task,
            "/api/labels": self._labels,
            f"{task}/data/meta": self._meta,
        }
        if path in fixed:
            return fixed[path]()
        if path == f"{task}/data":
            return self._data(query["type"], int(query["number"]))
        if path == f"{task}/annotations":
            self.uploads.append({"method": method, **body})
            return {"version": 1, "tags": [], "shapes": [], "tracks": []}
        return self._function(method, path, body)

    def _function(self, method: str, path: str, body: Any) -> Any:
        if method == "POST" and path == "/api/functions":
            # As the server of CVAT fills in what is not said.
            absent = {"min_neg_points": -1, "startswith_box": False}
            absent |= {"startswith_box_optional": False}
            self.functions[FUNCTION] = {**absent, **body, "id": FUNCTION}
            return self.functions[FUNCTION]
        if found := re.fullmatch(r"/api/functions/(\d+)", path):
            return self.functions.get(int(found[1]))
        if found := re.fullmatch(r"/api/functions/queues/function:\d+/requests/(\S+)", path):
            return self._queue(found[1], body)
        return None

    def _queue(self, action: str, body: Any) -> Any:
        if action == "acquire":
            if body["request_category"] != "interactive" or not self.requests:
                return {"ar_assignment": None}
            parameters = self.requests.pop(0)
            if callable(parameters):
                parameters = parameters(self.results)
            return {"ar_assignment": {"ar_id": f"ar-{len(self.results)}", "ar_params": parameters}}
        if action.endswith(("/complete", "/fail")):
            self.results.append(body)
        return {}

    def _about(self) -> Any:
        texts = ("name", "description", "logo_url", "subtitle")
        return {"version": VERSION, **dict.fromkeys(texts, "")}

    def _task(self) -> Any:
        return {
            "id": TASK,
            "name": "a task",
            "jobs": {"count": 1, "completed": 0, "validation": 0, "url": ""},
            "labels": {"url": ""},
            "size": len(self.frames),
            "data_chunk_size": 2,
            "data_original_chunk_type": "imageset",
            "data_compressed_chunk_type": "imageset",
            "mode": "annotation",
            "dimension": "2d",
            "organization": None,
            "created_date": _NEVER,
            "updated_date": _NEVER,
        }

    def _labels(self) -> Any:
        numbers = self.label_ids()
        found = [label.document(numbers[label.name]) for label in self.labels]
        return {"count": len(found), "next": None, "previous": None, "results": found}

    def _meta(self) -> Any:
        frames = [
            {"name": f"frame-{i}.png", "width": width, "height": height, "related_files": 0}
            for i, (height, width) in enumerate(self.sizes)
        ]
        return {
            "frames": frames,
            "deleted_frames": [],
            "size": len(frames),
            "chunks_updated_date": _NEVER,
        }

    def _data(self, kind: str, number: int) -> bytes:
        if kind == "frame":
            return self.frames[number]
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as chunk:
            for i, frame in enumerate(self.frames[2 * number : 2 * number + 2]):
                chunk.writestr(f"{i:06d}.png", frame)
        return file.getvalue()


def _handler(served: CvatStandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _speak(self) -> None:
            parts = urlsplit(self.path)
            path = unquote(parts.path).rstrip("/")
            served.asked.append(f"{self.command} {path}")
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            status, answer = 401, None
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            if known or path == "/api/server/about":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                answer = served.answer(self.command, path, query, body)
                status = 404 if answer is None else 200
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            kind = "application/octet-stream" if isinstance(answer, bytes) else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = _speak

        def log_message(self, *args: object) -> None:
            """Be quiet."""

    return Handler


@contextmanager
def running(served: CvatStandIn) -> Iterator[CvatStandIn]:
    """Serve it on a free port of the loopback interface."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
