"""A page from elsewhere cannot make the gateway work; its own pages and programs can."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

PATHS = ("/api/segment", "/api/compare", "/api/compare/stream")
ELSEWHERE: tuple[dict[str, str], ...] = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://evil.example", "Host": "evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
)


def own(stage: Any) -> dict[str, str]:
    origin = f"http://127.0.0.1:{stage.gateway.http_port}"
    return {"Origin": origin, "Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize("path", PATHS)
async def test_a_page_from_elsewhere_is_refused(stage: Any, path: str) -> None:
    one = await stage.model("one")
    await stage.serve(one)
    options = {"model": "one"} if path == "/api/segment" else {}
    http = stage.http()
    for headers in ELSEWHERE:
        answer = await http.post(path, headers=headers, **stage.form(**options))
        assert answer.status_code == 403, headers
        problem = answer.json()
        assert problem["reason"] == "ORIGIN_FOREIGN"
        assert "DIPTYCH_HTTP_ORIGINS" in problem["detail"]
        assert "access-control-allow-origin" not in answer.headers
    assert one.requests == []
    for headers in (own(stage), {}, {"Host": "gateway.somewhere.example"}):
        answer = await http.post(path, headers=headers, **stage.form(**options))
        assert answer.status_code == 200, headers


async def test_a_link_from_elsewhere_opens_the_page(stage: Any) -> None:
    await stage.serve(await stage.model("one"))
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    for path in ("/", "/api/openapi.json"):
        assert (await stage.http().get(path, headers=headers)).status_code == 200


async def test_origins_of_proxies_are_a_setting(stage: Any) -> None:
    proxy = "https://diptych.example"
    await stage.serve(await stage.model("one"), http_origins=(proxy,))
    http = stage.http()
    for host in ("gateway:8080", "diptych.example"):
        headers = {"Origin": proxy, "Host": host, "Sec-Fetch-Site": "same-origin"}
        assert (await http.post(PATHS[1], headers=headers, **stage.form())).status_code == 200
    for headers in ELSEWHERE:
        assert (await http.post(PATHS[1], headers=headers, **stage.form())).status_code == 403


async def test_a_token_says_more_than_an_origin(stage: Any, tmp_path: Path) -> None:
    secret = "diptych_secret"
    hashed = hashlib.sha256(secret.encode()).hexdigest()
    (tmp_path / "tokens.toml").write_text(f'[tokens.me]\nsha256 = "{hashed}"\n')
    await stage.serve(await stage.model("one"), tokens_file=tmp_path / "tokens.toml")
    headers = {"Origin": "https://diptych.example", "Host": "diptych.example"}
    refused = await stage.http().post(PATHS[1], headers=headers, **stage.form())
    assert (refused.status_code, refused.json()["reason"]) == (401, "TOKEN_MISSING")
    headers["Authorization"] = f"Bearer {secret}"
    answer = await stage.http().post(PATHS[1], headers=headers, **stage.form())
    assert answer.status_code == 200
