"""What the gateway refuses over HTTP, and how: status, problem document, no trace on the disk."""

from __future__ import annotations

import asyncio
import json
import tempfile
from typing import Any

import httpx
import pytest
from serving_helpers import eventually

from diptych.limits import MAX_REQUEST_BYTES
from diptych_gateway.http.forms import MAX_OPTIONS_BYTES
from diptych_runtime.engine import Reason, ServiceError, Violation

PATHS = ("/api/segment", "/api/compare", "/api/compare/stream")
FIELDS = {
    "type",
    "title",
    "status",
    "detail",
    "reason",
    "request_id",
    "violations",
    "retry_after_s",
}


def problem(answer: httpx.Response) -> dict[str, Any]:
    """The document of an answer that has to be one."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document: dict[str, Any] = answer.json()
    assert set(document) == FIELDS
    assert document["status"] == answer.status_code
    assert document["detail"]
    return document


def fields(document: dict[str, Any]) -> list[str]:
    return [violation["field"] for violation in document["violations"]]


STATUSES = {
    Reason.IMAGE_UNREADABLE: 400,
    Reason.IMAGE_SHAPE: 400,
    Reason.IMAGE_TOO_LARGE: 413,
    Reason.PROMPT_INVALID: 400,
    Reason.OPTION_INVALID: 400,
    Reason.TASK_UNSUPPORTED: 422,
    Reason.PROMPT_UNSUPPORTED: 422,
    Reason.MODEL_UNKNOWN: 404,
    Reason.IMAGE_NOT_HELD: 404,
    Reason.TOKEN_MISSING: 401,
    Reason.TOKEN_INVALID: 401,
    Reason.TOKEN_SCOPE: 403,
    Reason.QUEUE_FULL: 429,
    Reason.SESSION_LIMIT: 429,
    Reason.OBJECT_LIMIT: 429,
    Reason.RATE_LIMIT: 429,
    Reason.DEVICE_MEMORY: 503,
    Reason.MODEL_LOADING: 503,
    Reason.DRAINING: 503,
    Reason.ENGINE_LOST: 503,
    Reason.DEADLINE: 504,
    Reason.MODEL_FAILED: 500,
}


async def test_errors_of_a_model_have_the_status_of_the_table(stage: Any) -> None:
    one = await stage.model("one")
    await stage.serve(one)
    http = stage.http()
    for reason, status in STATUSES.items():
        violations = [Violation("image", "expected this")]

        async def fail(*_: Any) -> Any:
            raise ServiceError(
                reason,  # noqa: B023
                "expected this, got that",
                violations=violations,  # noqa: B023
                retry_after_s=2.5,
            )

        one.answer = fail
        answer = await http.post("/api/segment", **stage.form(model="one"))
        document = problem(answer)
        assert (answer.status_code, document["reason"]) == (status, reason), reason
        assert document["detail"] == "expected this, got that"
        assert document["violations"] == [{"field": "image", "description": "expected this"}]
        assert document["retry_after_s"] == 2.5
        assert answer.headers["retry-after"] == "3"
        assert document["request_id"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("options", "reason", "field"),
    [
        ("{", "OPTION_INVALID", ""),
        ("[]", "OPTION_INVALID", ""),
        ('{"tusk": 1}', "OPTION_INVALID", "tusk"),
        ('{"task": "nothing"}', "OPTION_INVALID", "task"),
        ('{"timeout_s": 0}', "OPTION_INVALID", "timeout_s"),
        ('{"timeout_s": NaN}', "OPTION_INVALID", "timeout_s"),
        ('{"output": {"min_scor": 1}}', "OPTION_INVALID", "output.min_scor"),
        ('{"output": {"min_score": "1"}}', "OPTION_INVALID", "output.min_score"),
        ('{"automatic": {"points_per_side": 1.5}}', "OPTION_INVALID", "automatic.points_per_side"),
        ('{"prompts": [{}, {"points": [[1]]}]}', "PROMPT_INVALID", "prompts[1].points[0]"),
        ('{"output": {"category_ids": [99999999999]}}', "OPTION_INVALID", "options"),
        ('{"automatic": {"crop_n_layers": -99999999999}}', "OPTION_INVALID", "options"),
        ('{"prompts": [{"points": [["a", 2]]}]}', "PROMPT_INVALID", "prompts[0].points[0][0]"),
        ('{"prompts": [{"points": [[1, 2, 7]]}]}', "PROMPT_INVALID", "prompts[0].points[0]"),
        ('{"prompts": [{"box": [1, 2, 3]}]}', "PROMPT_INVALID", "prompts[0].box[3]"),
        ('{"prompts": []}', "PROMPT_INVALID", "prompts"),
        ('{"task": null, "prompts": []}', "PROMPT_INVALID", "prompts"),
        (
            '{"prompts": [{"mask": {"size": [4, 4], "counts": "1"}}]}',
            "PROMPT_INVALID",
            "prompts[0].mask",
        ),
        (
            '{"prompts": [{"mask": {"size": [0, -4], "counts": "1"}}]}',
            "PROMPT_INVALID",
            "prompts[0].mask",
        ),
        (
            '{"prompts": [{"mask": {"size": [99999999, 99999999], "counts": "1"}}]}',
            "PROMPT_INVALID",
            "prompts[0].mask",
        ),
    ],
)
async def test_options_that_cannot_be_used_are_named(
    stage: Any, path: str, options: str, reason: str, field: str
) -> None:
    one = await stage.model("one")
    await stage.serve(one)
    form = {"files": {"image": ("p", stage.picture)}, "data": {"options": options}}
    answer = await stage.http().post(path, **form)
    document = problem(answer)
    assert (answer.status_code, document["reason"]) == (400, reason)
    assert fields(document)[0] == field, document
    assert len(set(fields(document))) == len(fields(document))
    assert one.requests == []


@pytest.mark.parametrize(
    ("files", "field"),
    [
        ({"options": (None, "{}")}, "image"),
        ({"image": ("p", b"x"), "image_sha256": (None, "0" * 64)}, "image"),
        ({"image_sha256": (None, "0" * 63)}, "image_sha256"),
        ({"image_sha256": (None, "x" * 64)}, "image_sha256"),
        ({"picture": ("p", b"x")}, "picture"),
        ({f"part {number}": (None, b"x") for number in range(2000)}, "part 0"),
        ([("image", ("p", b"x")), ("image", ("q", b"y"))], "image"),
    ],
)
async def test_parts_that_cannot_be_used_are_named(stage: Any, files: Any, field: str) -> None:
    await stage.serve(await stage.model("one"))
    document = problem(await stage.http().post("/api/compare", files=files))
    assert (document["status"], document["reason"]) == (400, "OPTION_INVALID")
    assert fields(document) == [field]


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("", b"", 415),
        ("multipart/form-data", b"", 415),
        ("multipart/form-data; boundary=b", b"", 400),
        ("multipart/form-data; boundary=b", b"nothing of the kind", 400),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Dispo",
            400,
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nxyz',
            400,
        ),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data\r\n\r\nxyz\r\n--b--\r\n",
            400,
        ),
        (
            "multipart/form-data; boundary=b; charset=idna",
            b'--b\r\nContent-Disposition: form-data; name="xn--\xff"\r\n\r\nx\r\n--b--\r\n',
            400,
        ),
    ],
)
async def test_bodies_that_are_no_form(stage: Any, kind: str, body: bytes, status: int) -> None:
    one = await stage.model("one")
    await stage.serve(one)
    headers = {"content-type": kind} if kind else {}
    answer = await stage.http().post("/api/compare", content=body, headers=headers)
    assert problem(answer)["status"] == status
    assert one.requests == []


async def test_what_is_not_there(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    http = stage.http()
    for path in ("/api/nothing", "/api/compare/", "/nothing", "/../settings.py", "/%2e%2e/x"):
        assert problem(await http.get(path))["status"] == 404, path
    assert problem(await http.get("/api/models/two"))["reason"] == "MODEL_UNKNOWN"
    unknown = await http.post("/api/segment", **stage.form(model="two"))
    assert (unknown.status_code, problem(unknown)["reason"]) == (404, "MODEL_UNKNOWN")
    unnamed = await http.post("/api/segment", **stage.form())
    assert (unnamed.status_code, fields(problem(unnamed))) == (400, ["model"])
    wrong = await http.get("/api/compare")
    assert (problem(wrong)["status"], wrong.headers["allow"]) == (405, "POST")
    wrong = await http.request("PROPFIND", "/api/models")
    assert (problem(wrong)["status"], wrong.headers["allow"]) == (405, "GET, HEAD")


async def test_a_picture_of_the_largest_size_passes_without_a_file(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a picture was to be written to a file")

    # A spooled file is none yet; it becomes one by way of these.
    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "write", refuse)
    one = await stage.model("one")
    await stage.serve(one)
    picture = bytes(MAX_REQUEST_BYTES - 2048)
    files = {"image": ("p", picture), "options": (None, '{"model": "one"}')}
    answer = await stage.http().post("/api/segment", files=files)
    assert answer.status_code == 200, answer.text
    assert one.requests[0].image.encoded == picture


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "options",
    [
        '{"prompts": [{"points": [' + "[1]," * 100_000 + "[1]]}]}",
        '{"prompts": [' + ",".join(['{"points": [[1], [1]]}'] * 20_000) + "]}",
        '{"output": {"category_ids": [' + '"a",' * 100_000 + "1]}}",
    ],
)
async def test_many_mistakes_are_not_all_told(stage: Any, path: str, options: str) -> None:
    """Each would cost a kilobyte and more, and half a megabyte has a hundred thousand."""
    one = await stage.model("one")
    await stage.serve(one)
    form = {"files": {"image": ("p", stage.picture)}, "data": {"options": options}}
    answer = await stage.http().post(path, **form)
    assert answer.status_code == 400
    assert len(problem(answer)["violations"]) == 1
    assert one.requests == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("part", "most"), [("options", MAX_OPTIONS_BYTES), ("image_sha256", 1024)])
async def test_a_part_that_is_not_the_image_is_small(
    stage: Any, path: str, part: str, most: int
) -> None:
    one = await stage.model("one")
    await stage.serve(one)
    files = {"image": ("p", stage.picture), part: (None, " " * (most + 1))}
    answer = await stage.http().post(path, files=files)
    assert answer.status_code == 413
    assert problem(answer)["detail"] == f"{part}: expected at most {most} bytes, got more"
    assert one.requests == []


async def test_a_picture_needs_no_name_of_a_file(stage: Any) -> None:
    one = await stage.model("one")
    await stage.serve(one)
    picture = bytes(range(256)) * 10
    files = {"options": (None, '{"model": "one"}'), "image": (None, picture)}
    answer = await stage.http().post("/api/segment", files=files)
    assert answer.status_code == 200, answer.text
    assert one.requests[0].image.encoded == picture


async def refused_early(stage: Any, headers: bytes, body: bytes) -> bytes:
    """The status line of an answer that comes while the request is still being sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.gateway.http_port)
    head = b"POST /api/compare HTTP/1.1\r\nHost: x\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=b\r\n"
    writer.write(head + kind + headers + b"\r\n")
    if body:
        writer.write(body)
    line = await reader.readline()
    writer.close()
    return line


async def test_a_form_that_says_that_it_is_too_large_is_not_read(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    headers = b"Content-Length: %d\r\n" % (MAX_REQUEST_BYTES + 1)
    assert (await refused_early(stage, headers, b"")).startswith(b"HTTP/1.1 413 ")


async def test_a_form_that_does_not_say_so_is_refused_while_it_comes(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    part = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n'
    rest = MAX_REQUEST_BYTES + 1 - len(part)
    body = b"%x\r\n%b\r\n%x\r\n%b\r\n" % (len(part), part, rest, bytes(rest))
    line = await refused_early(stage, b"Transfer-Encoding: chunked\r\n", body)
    assert line.startswith(b"HTTP/1.1 413 ")


async def test_a_deadline_is_kept(stage: Any) -> None:
    one, two = await stage.model("one"), await stage.model("two")

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    one.answer = never
    await stage.serve(one, two)
    http = stage.http()
    late = await http.post("/api/segment", **stage.form(model="one", timeout_s=0.4))
    assert (late.status_code, problem(late)["reason"]) == (504, "DEADLINE")
    compared = (await http.post("/api/compare", **stage.form(timeout_s=0.4))).json()
    assert [r["error"] and r["error"]["reason"] for r in compared["results"]] == ["DEADLINE", None]


@pytest.mark.parametrize("path", PATHS)
async def test_work_ends_when_the_client_leaves(stage: Any, path: str) -> None:
    one = await stage.model("one")

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    one.answer = never
    await stage.serve(one)
    options = {"model": "one"} if path == "/api/segment" else {}
    asking = asyncio.create_task(stage.http().post(path, **stage.form(**options)))
    await eventually(lambda: one.running == 1)
    asking.cancel()
    await eventually(lambda: one.running == 0)
    await eventually(lambda: stage.gateway.registry.model("one").in_flight == 0)


async def test_a_form_that_never_ends_is_given_up(stage: Any) -> None:
    await stage.serve(await stage.model("one"), default_deadline_s=0.3)
    line = await refused_early(stage, b"Content-Length: 1000\r\n", b"--b\r\n")
    assert line.startswith(b"HTTP/1.1 504 ")


async def test_faults_tell_nothing_but_where_the_log_has_them(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.serve(await stage.model("one"))

    def fail(*_: Any) -> Any:
        raise RuntimeError("secret at 0x1234")

    monkeypatch.setattr("diptych_gateway.http.api.plan", fail)
    answer = await stage.http().post("/api/compare", **stage.form())
    document = problem(answer)
    assert (document["status"], document["reason"]) == (500, "MODEL_FAILED")
    assert "0x1234" not in answer.text
    assert document["request_id"] in document["detail"]
    assert answer.headers["x-request-id"] == document["request_id"]


async def test_a_fault_in_a_stream_is_its_last_event(
    stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.serve(await stage.model("one"))

    def fail(*_: Any) -> Any:
        raise RuntimeError("secret at 0x1234")

    monkeypatch.setattr("diptych_gateway.http.events.agreement_document", fail)
    monkeypatch.setattr("diptych_gateway.http.events.outcome_document", fail)
    answer = await stage.http().post("/api/compare/stream", **stage.form())
    assert answer.status_code == 200
    name, data = answer.text.strip().split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["status"] == 500
    assert "0x1234" not in answer.text


async def test_running_requests_end_before_the_server_does(stage: Any) -> None:
    one = await stage.model("one")
    gate = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        await gate.wait()
        return await one.find(request, context)

    one.answer = wait
    await stage.serve(one, drain_s=30)
    asking = asyncio.create_task(stage.http().post("/api/segment", **stage.form(model="one")))
    await eventually(lambda: one.running == 1)
    stopping = asyncio.create_task(stage.gateway.stop())
    await eventually(_refuses(stage))
    gate.set()
    assert (await asking).status_code == 200
    await stopping
    stage.gateway = None


async def test_requests_that_do_not_end_are_told_so(stage: Any) -> None:
    one = await stage.model("one")

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    one.answer = never
    await stage.serve(one, drain_s=0.2)
    whole = asyncio.create_task(stage.http().post("/api/compare", **stage.form()))
    streamed = asyncio.create_task(stage.http().post("/api/compare/stream", **stage.form()))
    await eventually(lambda: one.running == 2)
    await stage.gateway.stop()
    stage.gateway = None
    assert (problem(await whole)["status"], (await whole).json()["reason"]) == (503, "DRAINING")
    assert "event: error" in (await streamed).text
    assert "DRAINING" in (await streamed).text


def _refuses(stage: Any) -> Any:
    async def refuses() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", stage.gateway.http_port)
        except OSError:
            return True
        writer.close()
        return False

    return refuses
