"""Who may ask the backend, and with what token it asks Label Studio."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from label_studio_server import LabelStudio, running_backend
from stack import Stack
from task_scenes import CONFIG, SCENE, ask, point


def test_a_personal_access_token_reads_uploads(
    label_studio: LabelStudio, stack: Stack, tmp_path: Path
) -> None:
    _, task = label_studio.project(CONFIG, SCENE.file, "scene.png")
    address = label_studio.ask("GET", f"/api/tasks/{task}")["data"]["image"]
    token = label_studio.ask("POST", "/api/token/", json={})["token"]
    assert token.count(".") == 2
    (tmp_path / "token").write_text(token)
    options = ["--label-studio", label_studio.url, "--gateway", stack.address("gateway")]
    options += ["--token-file", str(tmp_path / "token")]
    with running_backend(tmp_path, *options) as url:
        answer = ask(url, address, CONFIG, [point(*SCENE.middle)])
    assert answer.is_success, answer.reason_phrase
    assert answer.json()["results"][0]["result"]


def test_without_its_password_nothing_is_answered(tmp_path: Path) -> None:
    (tmp_path / "login").write_text("label-studio:secret\n")
    options = ["--gateway", "localhost:1", "--login-file", str(tmp_path / "login")]
    with running_backend(tmp_path, *options, user="label-studio", password="secret") as url:
        assert httpx.get(f"{url}/health").status_code == 401
        assert httpx.get(f"{url}/health", auth=("label-studio", "other")).status_code == 401
        assert httpx.get(f"{url}/health", auth=("label-studio", "secret")).is_success


def test_a_gateway_that_is_not_there_is_told_when_a_model_is_connected(
    label_studio: LabelStudio, tmp_path: Path
) -> None:
    project, _ = label_studio.project(CONFIG, SCENE.file, "scene.png")
    options = ["--label-studio", label_studio.url, "--gateway", "localhost:1"]
    with (
        running_backend(tmp_path, *options) as url,
        pytest.raises(AssertionError, match=r"Reason: 503 Server Error: Diptych: .*localhost:1"),
    ):
        label_studio.connect(project, url)
