"""``diptych doctor`` before real servers in each bad state."""

from __future__ import annotations

import getpass
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result
from pki import Pki
from secure_fake import SecureFake

from diptych import ServingStatus
from diptych._transport.channel import endpoints_of
from diptych.cli import main
from diptych.cli._doctor.findings import Finding, State, bounded, ok
from diptych.cli._doctor.models import check_model
from diptych.cli._doctor.privacy import redactor
from diptych.cli._doctor.server import check_clock
from diptych.segment import v1 as pb
from diptych.testing import FakeSegmentService
from diptych.wire.cards import known_model_message, read_known_model

VARIABLES = ("TLS", "CA_FILE", "CERT_FILE", "KEY_FILE", "TOKEN_FILE", "ADDRESS")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"DIPTYCH_{name}", raising=False)
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def plain() -> Iterator[FakeSegmentService]:
    with FakeSegmentService(("one", "two")) as fake:
        yield fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *arguments])


def told(*arguments: str, code: int) -> dict[str, dict[str, Any]]:
    """What it says in JSON, by the name of the check; of several the last."""
    result = run("--json", "--timeout", "5", *arguments)
    assert result.exit_code == code, result.output
    return {check["name"]: check for check in json.loads(result.output)["checks"]}


@contextmanager
def serving(pki: Pki, *, asks: bool = False, **server: Any) -> Iterator[str]:
    """A service with TLS and a certificate of its own; the address."""
    pair = pki.authority.for_server(**server)
    pair.save(pki.folder, "shown")
    credentials = grpc.ssl_server_credentials(
        [(pki.pem("shown.key"), pki.pem("shown.crt"))],
        pki.pem("ca.crt") if asks else None,
        require_client_auth=asks,
    )
    with SecureFake(credentials=credentials) as fake:
        yield fake.address


def test_all_is_well(plain: FakeSegmentService) -> None:
    checks = told(plain.address, code=0)
    assert {each["status"] for each in checks.values()} <= {"ok", "skipped"}
    assert checks["address"]["text"] == f"{plain.address}, as ADDRESS says"
    assert checks["protocol"]["facts"]["spoken"] == "http/2"
    assert checks["token"]["facts"] == {"sent": False, "checked": False}
    model = checks["model one"]["facts"]
    assert model["weights"][0]["name"] == "fake"
    assert len(model["weights"][0]["sha256"]) == 64
    assert (model["tier"], model["device"], model["demo_weights"]) == ("exact", "fake", False)
    assert checks["answer two"]["facts"]["software"]
    assert "grpcio" in checks["versions"]["facts"]


def test_where_the_address_comes_from(
    plain: FakeSegmentService, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = f"localhost:{plain.address.rpartition(':')[2]}"
    assert told("--address", at, "--no-ask", code=0)["address"]["facts"]["origin"] == (
        "as --address says"
    )
    monkeypatch.setenv("DIPTYCH_ADDRESS", at)
    checks = told("--no-ask", code=0)
    assert checks["address"]["facts"]["origin"] == "as DIPTYCH_ADDRESS says"
    assert "answer one" not in checks
    assert run(at, "--address", at).exit_code == 2


def test_an_address_that_is_none() -> None:
    checks = told("http://localhost:50051", code=1)
    assert checks["address"]["status"] == "failed"
    assert "a URL" in checks["address"]["text"]
    assert checks["versions"]["status"] == "ok"
    assert checks["health"]["status"] == "skipped"


def test_nobody_listens() -> None:
    with socket.socket() as held:  # bound and not listening: nobody else gets it
        held.bind(("127.0.0.1", 0))
        checks = told(f"127.0.0.1:{held.getsockname()[1]}", code=1)
    assert checks["name"]["status"] == "ok"
    assert "nobody listens" in checks["connection"]["text"]
    assert checks["connection"]["fix"].startswith("start the server")
    assert checks["token"]["status"] == checks["protocol"]["status"] == "skipped"
    assert checks["health"]["status"] == "failed"


def test_a_name_that_is_not_known() -> None:
    checks = told("no-such-host.invalid:50051", code=1)
    assert "no-such-host.invalid cannot be resolved" in checks["name"]["text"]
    assert checks["connection"]["status"] == "failed"


class _Page(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def page() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_port_that_speaks_http(page: str, pki: Pki) -> None:
    check = told(page, code=1)["protocol"]
    assert (check["status"], check["facts"]["spoken"]) == ("failed", "http/1")
    assert "the port of gRPC" in check["fix"]


def test_a_port_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        document = json.loads(run(address, "--json", "--timeout", "0.3").output)
    checks = {check["name"]: check for check in document["checks"]}
    assert checks["connection"]["status"] == "ok"
    assert "says nothing to a client of gRPC" in checks["protocol"]["text"]


def test_tls_is_expected_and_plain_text_spoken(plain: FakeSegmentService, pki: Pki) -> None:
    check = told(plain.address, "--ca", str(pki.path("ca.crt")), code=1)["tls"]
    assert (check["status"], check["fix"]) == ("failed", "use --no-tls")
    assert "speaks gRPC in plain text" in check["text"]


def test_plain_text_is_expected_and_tls_spoken(pki: Pki) -> None:
    with serving(pki) as address:
        check = told(address, code=1)["protocol"]
    assert (check["status"], check["facts"]["spoken"]) == ("failed", "tls")
    assert "--tls" in check["fix"]


def test_a_good_certificate(pki: Pki) -> None:
    with serving(pki, days=100) as address:
        check = told(address, "--ca", str(pki.path("ca.crt")), code=0)["tls"]
    assert check["status"] == "ok"
    facts = check["facts"]
    assert facts["alpn"] == "h2"
    assert facts["days_left"] in (99, 100)
    assert "localhost" in facts["names"]
    assert facts["issuer"]


def test_a_certificate_that_ends_soon(pki: Pki) -> None:
    with serving(pki, days=3) as address:
        check = told(address, "--ca", str(pki.path("ca.crt")), code=0)["tls"]
    assert (check["status"], check["fix"]) == ("warning", "renew the server's certificate")


def test_an_expired_certificate(pki: Pki) -> None:
    with serving(pki, days=-1) as address:
        check = told(address, "--ca", str(pki.path("ca.crt")), code=1)["tls"]
    assert check["status"] == "failed"
    assert "expired at" in check["text"]
    assert check["facts"]["days_left"] < 0


def test_a_certificate_of_a_foreign_authority(pki: Pki, stranger: Pki) -> None:
    with serving(stranger) as address:
        check = told(address, "--ca", str(pki.path("ca.crt")), code=1)["tls"]
        public = told(address, "--tls", code=1)["tls"]
    assert "does not hold" in check["text"]
    assert "--ca" in check["fix"]
    assert "public authorities" in public["text"]


def test_a_certificate_for_another_name(pki: Pki) -> None:
    with serving(pki, names=("other.example",)) as address:
        check = told(address, "--ca", str(pki.path("ca.crt")), code=1)["tls"]
    assert "is for other.example, not for localhost" in check["text"]


def test_a_server_that_wants_a_certificate_of_the_client(pki: Pki, stranger: Pki) -> None:
    ca = ("--ca", str(pki.path("ca.crt")))
    with serving(pki, asks=True) as address:
        without = told(address, *ca, code=1)["tls"]
        right, wrong = (
            ("--cert", str(each.path("client.crt")), "--key", str(each.path("client.key")))
            for each in (pki, stranger)
        )
        assert told(address, *ca, *right, code=0)["tls"]["status"] == "ok"
        foreign = told(address, *ca, *wrong, code=1)["tls"]
    assert "wants a certificate of the client" in without["text"]
    assert "does not take the certificate that is shown" in foreign["text"]


def test_files_that_are_not_there_hide_nothing(plain: FakeSegmentService) -> None:
    checks = told(plain.address, "--ca", "/none/ca.crt", "--token-file", "/none/token", code=1)
    assert "/none/ca.crt" in checks["encryption"]["text"]
    assert checks["tls"]["status"] == checks["token"]["status"] == "skipped"
    assert checks["connection"]["status"] == "ok"
    checks = told(plain.address, "--token-file", "/none/token", code=1)
    assert checks["token"]["text"] == "/none/token: no such file or directory"
    alone = told(plain.address, "--cert", "/none/own.crt", code=1)
    assert "cert and key together" in alone["encryption"]["text"]


def test_a_server_that_does_not_serve_yet() -> None:
    with FakeSegmentService() as fake:
        fake.health[""] = ServingStatus.NOT_SERVING
        checks = told(fake.address, "--no-ask", code=1)
    assert "does not tell its release: not-serving" in checks["health"]["text"]
    assert checks["model fake-model"]["status"] == "ok"


def test_one_model_that_fails_hides_no_other() -> None:
    with FakeSegmentService(("one", "two")) as fake:
        fake.fail("DEVICE_MEMORY", model="one")
        checks = told(fake.address, code=1)
    assert checks["answer one"]["status"] == "failed"
    assert "DEVICE_MEMORY" in checks["answer one"]["text"]
    assert checks["answer two"]["status"] == "ok"


def test_demo_weights_are_said() -> None:
    with FakeSegmentService() as fake:
        fake.cards["fake-model"].weights[0].name = "demo"
        checks = told(fake.address, "--no-ask", code=0)
    assert checks["model fake-model"]["status"] == "warning"
    assert "demo weights" in checks["model fake-model"]["text"]


@pytest.mark.parametrize(("models", "end"), [(("a",), "1 warning, "), (("a", "b"), "2 warnings, ")])
def test_the_last_line_counts(models: tuple[str, ...], end: str) -> None:
    with FakeSegmentService(models) as fake:
        for name in models:
            fake.cards[name].weights[0].name = "demo"
        text = run(fake.address, "--no-ask").output.strip()
    assert text.splitlines()[-1].startswith(end)


def test_a_model_service_without_a_gateway() -> None:
    with FakeSegmentService(("only",), gateway=False) as fake:
        assert told(fake.address, code=0)["answer only"]["status"] == "ok"


def test_a_socket_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        check = told(f"unix:{path}", "--timeout", "0.3", code=1)["connection"]
    assert check["status"] == "ok"
    assert told(f"unix:{tmp_path}/none", code=1)["connection"]["status"] == "failed"


def test_a_proxy_that_refuses(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://alice:pass-word@{page}")
    checks = told("gateway.example:50051", code=1)
    assert "pass-word" not in json.dumps(checks)
    assert "alice" not in json.dumps(checks)
    assert checks["proxy"]["facts"] == {"url": f"http://{page}", "variable": "http_proxy"}
    assert f"the proxy http://{page} answered" in checks["connection"]["text"]


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{held.getsockname()[1]}")
        check = told("gateway.example:50051", code=1)["connection"]
    assert "of http_proxy cannot be reached: connection refused" in check["text"]
    assert "no_proxy=gateway.example" in check["fix"]


def test_the_text_is_one_line_for_each_check_and_holds_no_secret(
    plain: FakeSegmentService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" / "of" / "alice"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    token = home / "token"
    token.write_text("very-secret-token\n")
    result = run(plain.address, "--token-file", str(token), "--no-ask")
    assert result.exit_code == 0, result.output
    assert "very-secret-token" not in result.output
    assert str(home) not in result.output
    assert "token            sent from ~/token; but the server asks for none" in result.output
    assert result.output.splitlines()[-1].endswith("ok")


def test_what_a_report_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/people/alice")
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    redact = redactor("tok-1")
    assert redact("Bearer tok-1") == "Bearer [token]"
    assert redact("/srv/people/alice/ca.crt") == "~/ca.crt"
    assert redact("/mnt/alice/ca.crt, alice") == "/mnt/[user]/ca.crt, alice"
    assert redact("/home/bob/x and C:\\Users\\bob\\x") == "/home/[user]/x and C:\\Users\\[user]\\x"
    assert redact({"url": ["http://bob:pass@proxy:3128"]}) == {"url": ["http://proxy:3128"]}
    assert redact(3) == 3


def test_a_check_ends_in_time_and_never_raises() -> None:
    released = threading.Event()

    def hangs() -> Iterator[Finding]:
        released.wait(20)
        yield ok("slow", "late")

    def breaks() -> Iterator[Finding]:
        yield ok("broken", "until here")
        raise RuntimeError("nobody thought of this")

    (late,) = bounded("slow", hangs, 0.05)
    released.set()
    assert (late.state, late.text) == (State.FAILED, "no result within 0.05 s")
    first, second = bounded("broken", breaks, 5)
    assert first.state is State.OK
    assert "nobody thought of this" in second.text


def known(**fields: Any) -> Any:
    return read_known_model(known_model_message("one", None, **fields))


def test_a_clock_that_is_behind() -> None:
    since = datetime.now(timezone.utc) + timedelta(minutes=10)
    message = pb.KnownModel(model_id="one", replicas=[pb.Replica(name="0")])
    message.replicas[0].since.FromDatetime(since)
    (check,) = check_clock([read_known_model(message)], {})
    assert check.state is State.WARNING
    assert check.facts["behind_s"] in range(590, 601)
    (unknown,) = check_clock([known()], {})
    assert unknown.state is State.SKIPPED


def test_what_a_gateway_warns_of_is_told() -> None:
    found = list(check_model(known(warnings=["its replicas have different weights"]), None))
    assert [each.state for each in found] == [State.OK, State.WARNING]
    assert found[1].text == "its replicas have different weights"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("localhost:50051", (("localhost", 50051),)),
        ("gateway.example", (("gateway.example", 443),)),
        ("[::1]:50051", (("::1", 50051),)),
        ("dns:///host:1", (("host", 1),)),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", (("10.0.0.1", 1), ("10.0.0.2", 2))),
        ("ipv6:[::1]:7", (("::1", 7),)),
        ("xds:///service", ()),
    ],
)
def test_endpoints_of_a_target(target: str, expected: tuple[tuple[str, int], ...]) -> None:
    assert endpoints_of(target) == expected
