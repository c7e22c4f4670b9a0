"""Errors where X-AnyLabeling shows them: in the status line, which is all that it tells."""

from __future__ import annotations

import base64
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving_helpers import picture, png

from diptych_x_anylabeling.__main__ import main
from diptych_x_anylabeling.options import MiB, Options, read_options

IMAGE = base64.b64encode(png(picture(seed=1))).decode()
POINT = {"type": "point", "data": [20, 12], "label": 1}
BOXES = [
    {"type": "rectangle", "data": [2, 2, 12, 12], "label": 1},
    {"type": "rectangle", "data": [30, 20, 50, 40], "label": 1},
]


def params(**found: Any) -> dict[str, Any]:
    return {"model": "fake", "image": IMAGE, "params": found}


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"model": "no", "image": IMAGE}, 404, "MODEL_NOT_FOUND", "'no'"),
        ({"image": IMAGE}, 400, "INVALID_REQUEST", "model: expected a text"),
        ({"model": "fake", "image": "????"}, 400, "INVALID_IMAGE", "image: expected base64"),
        ({"model": "fake", "image": "aGVsbG8="}, 400, "INVALID_IMAGE", "image"),
        (params(current_task="fly"), 422, "INVALID_REQUEST", "fake does instance-segmentation"),
        (params(conf_threshold=2), 400, "INVALID_REQUEST", "conf_threshold: expected 0 to 1"),
        (params(conf_threshold="x"), 400, "INVALID_REQUEST", "conf_threshold"),
        (params(filter_classes=["dog"]), 400, "INVALID_REQUEST", "fake knows no 'dog', only thing"),
        (params(marks=[{"type": "circle"}]), 400, "INVALID_REQUEST", "marks[0]: expected a point"),
        (params(marks=[{**BOXES[0], "label": 0}]), 400, "INVALID_REQUEST", "a point on it is"),
        (params(marks=[*BOXES, POINT]), 400, "INVALID_REQUEST", "none is around the point"),
        (params(marks=[{**POINT, "label": 0}]), 400, "INFERENCE_ERROR", "prompts[0]"),
        (params(marks=7), 400, "INVALID_REQUEST", "marks: expected a list, got int"),
    ],
)  # fmt: skip
def test_a_refusal_stands_in_the_status_line(
    tool: Any, body: dict[str, Any], status: int, code: str, said: str
) -> None:
    answer = tool.post("/v1/predict", **body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert said in error["message"]
    # What it shows: "400 Client Error: REASON for url: ...".
    assert answer.reason_phrase == error["message"]
    assert "x-reason" not in answer.headers


@pytest.mark.parametrize("body", [b"", b"nothing", b"[1]", b"[" * 100_000, b"\xff"])
def test_what_is_no_object_is_refused(tool: Any, body: bytes) -> None:
    answer = tool.http.post("/v1/predict", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_REQUEST")


def test_a_body_that_is_too_large_is_read_to_its_end_and_refused(tool: Any) -> None:
    """Who sends hears nothing before all is sent, so that it would see a broken connection."""
    answer = tool.http.post("/v1/video/prompt", content=bytes(2 * MiB))
    assert answer.status_code == 413
    assert answer.reason_phrase == f"body: expected at most {MiB} bytes, got {2 * MiB}"

    def parts() -> Any:  # nobody says beforehand how much it is
        yield from (bytes(MiB) for _ in range(2))

    answer = tool.http.post("/v1/video/prompt", content=parts())
    assert answer.reason_phrase == f"body: expected at most {MiB} bytes, got more"
    assert tool.http.get("/health").json()["status"] == "healthy"


def test_a_fault_of_ours_is_told_and_logged(
    tool: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("diptych_x_anylabeling.app.describe", None)
    answer = tool.http.get("/v1/models/fake/info")
    assert answer.status_code == 500
    assert answer.reason_phrase == "internal error, see the log of diptych-x-anylabeling"
    assert "/v1/models/fake/info failed" in caplog.text


def test_a_body_that_does_not_come_is_waited_for_no_longer(
    tool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diptych_x_anylabeling.bodies._READ_S", 0.05)
    url = tool.http.base_url
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        head = connection.makefile("rb").readline()
    assert head == b"HTTP/1.1 408 body: expected all of it within 0.05 s\r\n"


def test_a_gateway_that_is_away_is_told_and_found_again(served: Any) -> None:
    with served("127.0.0.1:9", timeout_s=1.0) as http:
        answer = http.get("/v1/models")
        assert answer.status_code == 503
        assert "127.0.0.1:9" in answer.reason_phrase


def test_a_key_is_asked_for(address: str, served: Any) -> None:
    with served(address, key="secret") as http:
        for sent in ({}, {"Token": "other"}, {"Token": "sécret".encode()}):
            answer = http.get("/v1/models", headers=sent)
            assert answer.status_code == 401
            assert answer.reason_phrase == "the API key is not the one of this server"
            assert answer.json()["error"]["code"] == "UNAUTHORIZED"
        assert http.post("/v1/predict", content=b"{}").status_code == 401
        assert http.get("/health").status_code == 200
        assert "fake" in http.get("/v1/models", headers={"Token": "secret"}).json()["data"]


def test_a_model_service_without_a_gateway_is_listed(model_address: str, served: Any) -> None:
    with served(model_address) as http:
        assert list(http.get("/v1/models").json()["data"]) == ["fake"]


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    key.write_text("secret\n")
    line = f"--address host:1 --port 0 --key-file {key} --clip-mib 3 --timeout 9"
    wanted = Options("host:1", port=0, key="secret", timeout_s=9.0, clip_bytes=3 * MiB)
    assert read_options(line.split()) == wanted
    key.write_text("\n")
    wrongs = ("--key-file no", "--port 70000", "--timeout 0", "--clip-mib 0")
    for wrong in (f"--key-file {key}", *wrongs):
        with pytest.raises(SystemExit) as ended:
            read_options(wrong.split())
        assert ended.value.code == 2
        assert wrong.split()[0] in capsys.readouterr().err


def test_the_process_says_where_it_listens_and_ends_when_told(address: str) -> None:
    command = [sys.executable, "-m", "diptych_x_anylabeling", "--address", address, "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        listed = httpx.get(f"{url}/v1/models", trust_env=False, verify=False).json()["data"]
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert "fake" in listed
    assert (process.returncode, said) == (0, "")


def test_a_port_that_is_taken_is_told(
    tool: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(tool.http.base_url.port)
    monkeypatch.setattr("sys.argv", ["diptych-x-anylabeling", "--port", port])
    assert main() == 2
    assert capsys.readouterr().err.startswith("diptych-x-anylabeling: ")
