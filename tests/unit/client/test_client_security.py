"""TLS and tokens of both clients and of the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pki import Pki
from secure_fake import SecureFake

from diptych import AsyncClient, Client, ServingStatus, TlsOptions, UnavailableError
from diptych._transport.token import is_local
from diptych.cli import main

VARIABLES = ("TLS", "CA_FILE", "CERT_FILE", "KEY_FILE", "TOKEN_FILE", "ADDRESS")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"DIPTYCH_{name}", raising=False)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def plain() -> Iterator[SecureFake]:
    with SecureFake() as fake:
        yield fake


@pytest.fixture
def secure(pki: Pki) -> Iterator[SecureFake]:
    """It asks for a certificate, as model services do."""
    with SecureFake(credentials=pki.server_credentials()) as fake:
        yield fake


def test_every_call_says_the_token(connect: Any, plain: SecureFake, small_png: bytes) -> None:
    client = connect(plain.address, token="abc-123")
    client.segment(small_png, model="one")
    client.compare(small_png)
    list(client.stream_compare(small_png))
    client.model_card("one")
    client.model_cards()
    client.model_stats("one")
    client.health()
    assert len(plain.said) == 7
    assert {said for _, said in plain.said} == {"Bearer abc-123"}


def test_a_video_session_says_it(plain: SecureFake) -> None:
    with (
        Client(plain.address, token="abc") as client,
        client.video(model="one") as session,
    ):
        list(session.finish())

    async def the_same() -> None:
        async with (
            AsyncClient(plain.address, token="abc") as client,
            client.video(model="one") as session,
        ):
            _ = [event async for event in session.finish()]

    asyncio.run(the_same())
    assert plain.said == [("SegmentVideo", "Bearer abc")] * 2


def test_without_a_token_nothing_is_said(connect: Any, plain: SecureFake) -> None:
    connect(plain.address).health()
    assert plain.said == [("Check", None)]


def test_a_function_is_asked_for_each_call(connect: Any, plain: SecureFake) -> None:
    tokens = iter(["first", "second", "no token"])
    client = connect(plain.address, token=lambda: next(tokens))
    client.health()
    client.health()
    assert [said for _, said in plain.said] == ["Bearer first", "Bearer second"]
    with pytest.raises(ValueError, match="letters, digits"):
        client.health()


def test_a_file_of_the_environment_is_read_again(
    connect: Any, plain: SecureFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    monkeypatch.setenv("DIPTYCH_TOKEN_FILE", str(path))
    client = connect(plain.address)
    client.health()
    path.write_text("second\n")
    client.health()
    connect(plain.address, token="given").health()
    assert [said for _, said in plain.said] == ["Bearer first", "Bearer second", "Bearer given"]


@pytest.mark.parametrize("token", ["", "two words", "line\n", "ü", 'qu"ote'])
def test_tokens_that_cannot_be_sent_are_not_repeated(connect: Any, token: str) -> None:
    with pytest.raises(ValueError, match=r"^token: expected letters") as caught:
        connect("localhost:1", token=token)
    assert not token or token not in str(caught.value)


def test_a_token_file_that_is_not_there(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIPTYCH_TOKEN_FILE", "/none/token")
    with pytest.raises(FileNotFoundError, match="/none/token"):
        connect("localhost:1")


@pytest.mark.parametrize("address", ["example.org:50051", "dns:///10.0.0.1:1", "0.0.0.0:1"])
@pytest.mark.parametrize("token", ["secret", lambda: "secret"])
def test_a_token_is_not_sent_where_it_can_be_read(connect: Any, address: str, token: Any) -> None:
    with pytest.raises(ValueError, match=f"{address}.*use tls=True.*--tls") as caught:
        connect(address, token=token)
    assert "secret" not in str(caught.value)
    connect(address, token=token, tls=True)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("localhost:50051", True),
        ("localhost", True),
        ("127.0.0.1:50051", True),
        ("127.8.8.8:1", True),
        ("[::1]:50051", True),
        ("::1", True),
        ("dns:localhost:1", True),
        ("dns:///localhost:1", True),
        ("dns://8.8.8.8/localhost:1", True),
        ("ipv4:127.0.0.1:1", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:2", True),
        ("ipv6:[::1]:1", True),
        ("unix:/run/socket", True),
        ("unix:///run/socket", True),
        ("unix-abstract:name", True),
        ("localhost.example.org:1", False),
        ("gateway:50051", False),
        ("10.0.0.1:50051", False),
        ("0.0.0.0:50051", False),
        ("[::]:1", False),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("dns:///example.org:1", False),
        ("xds:///localhost", False),
        ("", False),
    ],
)
def test_what_stays_on_this_machine(address: str, local: bool) -> None:
    assert is_local(address) is local


def test_both_sides_show_certificates(connect: Any, secure: SecureFake, pki: Pki) -> None:
    client = connect(secure.address, tls=pki.options_with_certificate, token="abc")
    assert client.health() is ServingStatus.SERVING
    assert secure.said == [("Check", "Bearer abc")]


@pytest.mark.parametrize("switch", ["", "true", "ON", "1"])
@pytest.mark.parametrize("argument", [None, True])
def test_files_of_the_environment(
    connect: Any,
    secure: SecureFake,
    pki: Pki,
    switch: str,
    argument: bool | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, file in (("CA", "ca.crt"), ("CERT", "client.crt"), ("KEY", "client.key")):
        monkeypatch.setenv(f"DIPTYCH_{name}_FILE", str(pki.path(file)))
    monkeypatch.setenv("DIPTYCH_TLS", switch)
    assert connect(secure.address, tls=argument).health() is ServingStatus.SERVING


def test_the_environment_can_be_overruled(
    connect: Any, plain: SecureFake, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIPTYCH_CA_FILE", str(pki.path("ca.crt")))
    assert connect(plain.address, tls=False).health() is ServingStatus.SERVING
    monkeypatch.setenv("DIPTYCH_TLS", "false")
    assert connect(plain.address).health() is ServingStatus.SERVING
    monkeypatch.setenv("DIPTYCH_TLS", "perhaps")
    with pytest.raises(ValueError, match=r"^DIPTYCH_TLS: expected true or false, got 'perhaps'"):
        connect(plain.address)


def unavailable(client: Any) -> str:
    with pytest.raises(UnavailableError) as caught:
        client.health()
    return str(caught.value)


def test_what_went_wrong_is_said(
    connect: Any, plain: SecureFake, secure: SecureFake, pki: Pki, stranger: Pki
) -> None:
    hung_up = "hung up at once; does it want TLS, or a certificate of the client?"
    assert hung_up in unavailable(connect(secure.address))
    assert hung_up in unavailable(connect(secure.address, tls=pki.options))
    untrusted = unavailable(connect(secure.address, tls=stranger.options))
    assert "TLS failed: the server's certificate is not trusted (" in untrusted
    assert "does not speak it" in unavailable(connect(plain.address, tls=pki.options))
    assert "is it running?" in unavailable(connect("localhost:1", tls=pki.options))


def test_the_name_has_to_fit_or_to_be_told(connect: Any, pki: Pki, tmp_path: Path) -> None:
    elsewhere = Pki(tmp_path / "elsewhere")
    elsewhere.renew(names=["elsewhere"])
    files = elsewhere.options_with_certificate
    with SecureFake(credentials=elsewhere.server_credentials()) as fake:
        said = unavailable(connect(fake.address, tls=files))
        assert said.endswith("the server's certificate is for another name than localhost")
        told = TlsOptions(files.ca, files.cert, files.key, server_name="elsewhere")
        assert connect(fake.address, tls=told).health() is ServingStatus.SERVING


def test_files_that_cannot_be_used(connect: Any, pki: Pki) -> None:
    ca, cert, key = (str(pki.path(name)) for name in ("ca.crt", "client.crt", "client.key"))
    with pytest.raises(ValueError, match="cert and key together, got only cert"):
        TlsOptions(cert=cert)
    with pytest.raises(ValueError, match="cert and key together, got only key"):
        TlsOptions(key=key)
    with pytest.raises(FileNotFoundError, match=r"none\.crt"):
        connect("localhost:1", tls=TlsOptions(ca="none.crt"))
    with pytest.raises(ValueError, match=f"^{key}: expected a certificate"):
        connect("localhost:1", tls=TlsOptions(ca=key))
    with pytest.raises(ValueError, match=f"^{key}: expected a certificate"):
        connect("localhost:1", tls=TlsOptions(ca=ca, cert=key, key=key))
    with pytest.raises(ValueError, match=r"server\.key: expected the certificate's own key"):
        connect("localhost:1", tls=TlsOptions(cert=cert, key=pki.path("server.key")))


def run(*arguments: object, **variables: object) -> Result:
    environment = {f"DIPTYCH_{name}": str(value) for name, value in variables.items()}
    return CliRunner().invoke(main, [str(each) for each in arguments], env=environment)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("s3cret\n")
    return path


def test_options_of_the_command_line(secure: SecureFake, pki: Pki, token_file: Path) -> None:
    done = run(
        *("health", "--json", "--address", secure.address, "--token-file", token_file),
        *("--ca", pki.path("ca.crt"), "--cert", pki.path("client.crt")),
        *("--key", pki.path("client.key")),
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["status"] == "serving"
    assert {said for _, said in secure.said} == {"Bearer s3cret"}
    assert "s3cret" not in done.output


def test_options_and_environment_add_up(secure: SecureFake, pki: Pki, token_file: Path) -> None:
    done = run(
        *("cards", "--address", secure.address, "--ca", pki.path("ca.crt")),
        CERT_FILE=pki.path("client.crt"),
        KEY_FILE=pki.path("client.key"),
        TOKEN_FILE=token_file,
    )
    assert done.exit_code == 0, done.output
    assert secure.said[-1][1] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--address", "example.org:1", "--token-file", "token"], "use tls=True"),
        (["--cert", "client.crt"], "cert and key together"),
        (["--ca", "none.crt"], "does not exist"),
        (["--ca", "token"], "expected a certificate in PEM form"),
        (["--token-file", "client.crt"], "token: expected letters"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    said: str,
    pki: Pki,
    token_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pki.path("token").write_bytes(token_file.read_bytes())
    monkeypatch.chdir(pki.folder)
    done = run("health", *arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert "s3cret" not in done.output


def test_health_as_a_container_asks(secure: SecureFake, pki: Pki) -> None:
    files = {
        "CA_FILE": pki.path("ca.crt"),
        "CERT_FILE": pki.path("client.crt"),
        "KEY_FILE": pki.path("client.key"),
    }
    secure.fail("TOKEN_MISSING")
    ask = ("health", "--server-only")
    done = run(*ask, ADDRESS=secure.address, **files)
    assert (done.exit_code, done.stdout) == (0, f"{secure.address}: serving\n")
    assert [method for method, _ in secure.said] == ["Check"]
    secure.health[""] = ServingStatus.NOT_SERVING
    assert run(*ask, ADDRESS=secure.address, **files).exit_code == 3
    assert run(*ask, ADDRESS=secure.address).exit_code == 3
    assert run(*ask, ADDRESS="localhost:1", **files).exit_code == 3
