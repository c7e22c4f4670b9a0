"""``--check``: settings and the files they name are read as for a start, and nothing starts."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from pki import Pki
from service_list import MODELS
from stack import free_port

from diptych_gateway import __main__ as gateway
from diptych_runtime import main as runtime

Check = Callable[..., tuple[int, str, str]]
GATEWAY = "diptych-gateway"
SERVICES = [f"diptych-{name}" for name in MODELS]


@pytest.fixture
def check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Check:
    """Runs a command with some variables; gives its exit code and what it wrote."""
    for name in [each for each in os.environ if each.startswith("DIPTYCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gateway, "configure", lambda level, **fields: None)
    monkeypatch.setattr(runtime.logs, "configure", lambda level, **fields: None)

    def run(name: str, *words: str, **variables: str) -> tuple[int, str, str]:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        try:
            if name == GATEWAY:
                code = gateway.main(["--check", *words])
            else:
                package = MODELS[name.removeprefix("diptych-")].package
                spec = importlib.import_module(f"{package}.__main__").SPEC
                code = runtime.run(spec, ["--check", *words]) or 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.mark.parametrize("name", [GATEWAY, *SERVICES])
def test_good_settings_need_no_free_port_and_start_nothing(check: Check, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        variables = {
            "DIPTYCH_MODELS": f"one=127.0.0.1:{free_port()}",
            "DIPTYCH_HOST": "127.0.0.1",
            "DIPTYCH_PORT": str(taken.getsockname()[1]),
        }
        code, out, err = check(name, **variables)
        assert (code, err) == (0, "")
        first, *plan = out.splitlines()
        assert first == f"{name}: the settings can be used"
        told = dict(line.split(maxsplit=1) for line in plan)
        assert told["gRPC"] == f"127.0.0.1:{variables['DIPTYCH_PORT']}, in use now"
        assert told["TLS"] == "no"
        assert told["log"] == "info, auto"
        if name == GATEWAY:
            assert told["models"] == variables["DIPTYCH_MODELS"]


@pytest.mark.parametrize("name", [GATEWAY, *SERVICES])
def test_a_port_that_is_free_is_so_afterwards(check: Check, name: str) -> None:
    port = free_port()
    variables = {"DIPTYCH_MODELS": "one=127.0.0.1:9", "DIPTYCH_PORT": str(port)}
    for _ in range(2):
        code, out, _ = check(name, **variables)
        assert code == 0
        assert f" 127.0.0.1:{port}\n" in out


@pytest.mark.parametrize("name", [GATEWAY, *SERVICES])
def test_an_address_that_is_not_ours_is_an_error(check: Check, name: str) -> None:
    elsewhere = {"DIPTYCH_MODELS": "one=127.0.0.1:9", "DIPTYCH_HOST": "192.0.2.1"}
    code, out, err = check(name, **elsewhere)
    assert (code, out) == (2, "")
    assert "cannot listen on 192.0.2.1" in err


@pytest.mark.parametrize("name", [GATEWAY, *SERVICES])
def test_a_key_that_is_not_the_certificate_s_is_an_error(
    check: Check, name: str, tmp_path: Path
) -> None:
    pki = Pki(tmp_path / "pki")
    other = Pki(tmp_path / "other")
    serving = {f"DIPTYCH_{key.upper()}": str(path) for key, path in pki.serving.items()}
    good = {"DIPTYCH_MODELS": "one=127.0.0.1:9", **serving, "DIPTYCH_PORT": "0"}
    assert check(name, **good)[0] == 0
    key = str(other.serving["tls_key"])
    code, out, err = check(name, **{**good, "DIPTYCH_TLS_KEY": key})
    assert (code, out) == (2, "")
    assert f"DIPTYCH_TLS_KEY={key}" in err


CERTIFICATE = {"DIPTYCH_TLS_CERT": "cert.pem", "DIPTYCH_TLS_KEY": "key.pem"}
BAD = [
    *((name, {"DIPTYCH_PORT": "x"}, "DIPTYCH_PORT='x'") for name in (GATEWAY, *SERVICES)),
    *((name, CERTIFICATE, "cert.pem") for name in (GATEWAY, *SERVICES)),
    *((name, {"DIPTYCH_TIER": "quick"}, "DIPTYCH_TIER='quick'") for name in SERVICES),
    *((name, {"DIPTYCH_DEVICE": "tpu"}, "DIPTYCH_DEVICE='tpu'") for name in SERVICES),
    (GATEWAY, {"DIPTYCH_TOKENS_FILE": "tokens.toml"}, "tokens.toml"),
    (GATEWAY, {"DIPTYCH_MODELS": "x"}, "DIPTYCH_MODELS='x'"),
    (GATEWAY, {"DIPTYCH_CASCADES": "a=b+c"}, "DIPTYCH_CASCADES"),
]


@pytest.mark.parametrize(("name", "variables", "said"), BAD)
def test_a_bad_setting_is_one_line(
    check: Check, name: str, variables: dict[str, str], said: str
) -> None:
    code, out, err = check(name, **{"DIPTYCH_MODELS": "one=127.0.0.1:9"} | variables)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith(f"{name}: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("name", [GATEWAY, *SERVICES])
def test_a_command_that_reads_no_settings_takes_no_check(check: Check, name: str) -> None:
    words = ["token", "me"] if name == GATEWAY else ["weights"]
    code, out, err = check(name, *words)
    assert (code, out) == (2, "")
    assert f"--check: expected without {words[0]}" in err
