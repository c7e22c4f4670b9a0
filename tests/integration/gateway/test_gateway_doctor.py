"""``diptych doctor`` before a real gateway: tokens, and models that are down."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from diptych.cli import main
from diptych_runtime.release import RELEASE

TOKEN = "diptych_for-the-doctor"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TLS", "CA_FILE", "CERT_FILE", "KEY_FILE", "TOKEN_FILE", "ADDRESS"):
        monkeypatch.delenv(f"DIPTYCH_{name}", raising=False)


async def told(address: str, *arguments: str, code: int) -> dict[str, dict[str, Any]]:
    command = ["doctor", address, "--json", "--timeout", "10", *arguments]
    result = await asyncio.to_thread(CliRunner().invoke, main, command)
    assert result.exit_code == code, result.output
    assert TOKEN not in result.output
    # What this process logs meanwhile, as the gateway, is printed there as well.
    document, _ = json.JSONDecoder().raw_decode(result.output[result.output.index("{\n") :])
    return {check["name"]: check for check in document["checks"]}


def tokens(folder: Path, rest: str = "") -> Path:
    path = folder / "tokens.toml"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    path.write_text(f'[tokens.doctor]\nsha256 = "{digest}"\n{rest}\n')
    return path


async def test_a_token_that_is_taken_missing_or_unknown(stage: Any, tmp_path: Path) -> None:
    await stage.serve(await stage.model("one"), tokens_file=tokens(tmp_path))
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text(TOKEN)
    wrong.write_text("diptych_of-somebody-else")
    checks = await told(stage.address, "--token-file", str(right), code=0)
    assert checks["token"]["facts"] == {"sent": True, "checked": True}
    assert checks["answer one"]["status"] == "ok"
    checks = await told(stage.address, code=1)
    assert checks["token"]["text"] == "none is sent, and the server asks for one"
    assert checks["health"]["status"] == "ok"
    assert checks["health"]["facts"]["release"] == RELEASE
    checks = await told(stage.address, "--token-file", str(wrong), code=1)
    assert "TOKEN_INVALID" in checks["token"]["text"]
    assert "diptych_of-somebody-else" not in json.dumps(checks)


async def test_a_token_that_has_expired_or_may_not_read(stage: Any, tmp_path: Path) -> None:
    path = tokens(tmp_path, "expires = 2020-01-01T00:00:00Z")
    file = tmp_path / "token"
    file.write_text(TOKEN)
    await stage.serve(await stage.model("one"), tokens_file=path)
    check = (await told(stage.address, "--token-file", str(file), code=1))["token"]
    assert "expired at 2020-01-01" in check["text"]
    assert "the server's clock" in check["fix"]


async def test_a_token_that_may_not_read_is_a_warning(stage: Any, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    path = tokens(tmp_path, 'scopes = ["segment"]')
    await stage.serve(await stage.model("one"), tokens_file=path)
    check = (await told(stage.address, "--token-file", str(file), code=0))["token"]
    assert (check["status"], check["facts"]["sent"]) == ("warning", True)
    assert "'read'" in check["fix"]


async def test_one_model_that_is_down_hides_no_other(stage: Any) -> None:
    await stage.serve(await stage.model("one"), stage.dead_endpoint("two"))
    checks = await told(stage.address, code=1)
    assert checks["model one"]["status"] == checks["answer one"]["status"] == "ok"
    assert checks["model two"]["status"] == "failed"
    assert checks["model two"]["facts"]["reachable"] is False
    assert checks["model two"]["fix"]
    assert "answer two" not in checks


async def test_no_model_is_up(stage: Any) -> None:
    await stage.serve(stage.dead_endpoint("one"), stage.dead_endpoint("two"), seen=False)
    checks = await told(stage.address, code=1)
    assert checks["connection"]["status"] == "ok"
    assert [checks[f"model {name}"]["status"] for name in ("one", "two")] == ["failed"] * 2
