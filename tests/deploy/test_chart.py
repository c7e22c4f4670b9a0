"""The Helm chart renders, fits the schemas of a cluster, the processes in it, and itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from helm_chart import (
    CHART,
    EXAMPLES,
    ROOT,
    Object,
    Schemas,
    containers,
    deployment,
    example,
    helm,
    of_kind,
    rendered,
    template,
    variables,
)
from kube_consistency import COMPONENT, SCRIPTS, faults, pod_labels, ports
from service_list import MODELS
from setting_names import ALL, engine_settings

from diptych_gateway.settings import Settings as GatewaySettings
from diptych_runtime.grpc_server.server import NOTICE_S
from diptych_runtime.settings import RuntimeSettings

NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
OUTSIDE = frozenset(
    ["diptych-tokens", "diptych-gateway-tls", "diptych-models-tls", "diptych-gateway-client-tls"]
)


@pytest.fixture(scope="module", params=["defaults", *NAMES])
def found(request: pytest.FixtureRequest, schemas: Schemas) -> list[Object]:
    """The objects of the chart as it is, and with each of the examples."""
    return rendered() if request.param == "defaults" else rendered(*example(request.param))


def test_objects_fit_the_schemas_and_one_another(found: list[Object], schemas: Schemas) -> None:
    assert schemas.faults(found) == []
    assert faults(found, OUTSIDE) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_chart_lints(name: str, schemas: Schemas) -> None:
    done = helm("lint", "--strict", str(CHART), *example(name))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_examples_are_the_four_that_are_documented() -> None:
    assert NAMES == ["autoscaled", "cpu", "gpu", "secured"]
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    assert all(f"{name}.yaml" in page for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_processes_take_the_settings(
    name: str, schemas: Schemas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value that the chart sets is one that its process can use."""
    for part, thing in of_kind(rendered(*example(name)), "Deployment").items():
        model = part.removeprefix("eyes-")
        kinds = (
            [GatewaySettings] if model == "gateway" else [RuntimeSettings, engine_settings(model)]
        )
        with monkeypatch.context() as context:
            for variable, value in variables(thing).items():
                context.setenv(variable, value)
            settings = [kind().model_dump() for kind in kinds]
        assert settings[0]["drain_s"] == 25
        if model != "gateway":
            assert settings[1]["device"] == ("cpu" if name == "cpu" else "cuda:0")


def test_every_model_listed_is_a_default() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert list(values["models"]) == list(MODELS)
    listed = re.findall(
        r'^cascades = \["(.*)"\]', (ROOT / "services/services.toml").read_text(), re.M
    )
    assert values["gateway"]["cascades"] == listed


def test_images_and_commands_are_those_that_are_built(schemas: Schemas) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    registry = ("--set", "image.registry=registry.example:5000/eyes/", "--set", "image.tag=1.2.3")
    for part in ("gateway", *MODELS):
        (stage,) = re.findall(rf"^FROM \S+ AS {part}\n(.*?)(?=^FROM |\Z)", dockerfile, re.M | re.S)
        (entry,) = re.findall(r'^ENTRYPOINT \["(.+)"\]', stage, re.M)
        assert entry in SCRIPTS
        assert entry == f"diptych-{part}"
        version = re.search(
            r'^version = "(.+)"', (ROOT / "gateway/pyproject.toml").read_text(), re.M
        )
        assert version
        (container,) = containers(deployment(rendered(), part))
        assert container["image"] == f"{entry}:{version[1]}"
        (container,) = containers(deployment(rendered(*registry), part))
        assert container["image"] == f"registry.example:5000/eyes/{entry}:1.2.3"
        (container,) = containers(deployment(rendered("--set", _image_of(part)), part))
        assert container["image"] == "own@sha256:12"


def _image_of(part: str) -> str:
    return f"{'gateway' if part == 'gateway' else f'models.{part}'}.image=own@sha256:12"


def test_the_chart_has_the_version_of_the_product() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.+)"', (ROOT / "gateway/pyproject.toml").read_text(), re.M)
    assert version
    assert chart["version"] == chart["appVersion"] == version[1]


def test_ports_are_those_of_the_processes(found: list[Object]) -> None:
    fields = GatewaySettings.model_fields
    gateway = deployment(found, "gateway")
    assert ports(gateway) == {"grpc": fields["port"].default, "http": fields["http_port"].default}
    assert variables(gateway)["DIPTYCH_PORT"] == str(ports(gateway)["grpc"])
    assert variables(gateway)["DIPTYCH_HTTP_PORT"] == str(ports(gateway)["http"])
    for model in MODELS:
        set_to = variables(deployment(found, model))
        assert ports(deployment(found, model)) == {
            "grpc": int(set_to["DIPTYCH_PORT"]),
            "metrics": int(set_to["DIPTYCH_METRICS_PORT"]),
        }


def test_metrics_are_where_compose_has_them_and_of_names_that_are_exported(
    schemas: Schemas,
) -> None:
    common = (ROOT / "docker-compose.common.yml").read_text()
    (port,) = re.findall(r"DIPTYCH_METRICS_PORT: \$\{DIPTYCH_METRICS_PORT-(\d+)\}", common)
    found = rendered(*example("autoscaled"))
    assert {str(ports(deployment(found, model))["metrics"]) for model in MODELS} == {port}
    # The page's tables are made of what runs.
    page = (ROOT / "docs" / "metrics.md").read_text()
    scalers = of_kind(found, "ScaledObject").values()
    queries = [trigger["metadata"]["query"] for s in scalers for trigger in s["spec"]["triggers"]]
    assert len(queries) == len(MODELS)
    for query in queries:
        (name,) = re.findall(r"diptych_[a-z_]+", query)
        assert f"| `{name}` | gauge |  |" in page


def test_pods_get_the_time_to_stop_that_they_take(found: list[Object]) -> None:
    for thing in of_kind(found, "Deployment").values():
        (container,) = thing["spec"]["template"]["spec"]["containers"]
        before = (
            container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        )
        drain = float(variables(thing)["DIPTYCH_DRAIN_S"])
        # The server's own reserve at the end of a drain is 5 s.
        stop_s = before + NOTICE_S + drain + 5
        assert thing["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > stop_s
        assert before == (5 if pod_labels(thing)[COMPONENT] == "gateway" else 0)


def test_models_get_the_time_to_start_that_they_take(found: list[Object]) -> None:
    longest = RuntimeSettings.model_fields["load_timeout_s"].default
    for model in MODELS:
        probe = containers(deployment(found, model))[-1]["startupProbe"]
        most = probe["periodSeconds"] * probe["failureThreshold"]
        assert most >= longest
        assert deployment(found, model)["spec"]["progressDeadlineSeconds"] > most


def test_what_processes_write_is_in_memory_or_on_volumes(found: list[Object]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "HOME=/tmp" in dockerfile
    (weights,) = re.findall(r"DIPTYCH_WEIGHTS_DIR=(\S+)", dockerfile)
    for thing in of_kind(found, "Deployment").values():
        for container in thing["spec"]["template"]["spec"]["containers"]:
            mounts = {m["mountPath"]: m.get("readOnly", False) for m in container["volumeMounts"]}
            assert mounts.pop("/tmp") is False
            assert all(mounts.values())
    for job in of_kind(found, "Job").values():
        for container in containers(job):
            mounts = {m["mountPath"]: m.get("readOnly", False) for m in container["volumeMounts"]}
            assert mounts == {"/tmp": False, weights: False}


def test_probes_know_tls(schemas: Schemas) -> None:
    """No released kubelet asks over TLS by default, and none shows a certificate."""
    plain, secured = rendered(), rendered(*example("secured"))
    for part in ("gateway", *MODELS):
        for probe in ("startupProbe", "readinessProbe"):
            assert "grpc" in containers(deployment(plain, part))[-1][probe]
            container = containers(deployment(secured, part))[-1]
            assert "grpc" not in container[probe]
            if part == "gateway":
                assert container[probe]["httpGet"]["scheme"] == "HTTPS"
            else:
                assert container[probe]["exec"]["command"] == ["diptych", "health", "--server-only"]
                address = variables(deployment(secured, part))["DIPTYCH_ADDRESS"]
                assert address == f"localhost:{ports(deployment(secured, part))['grpc']}"
        assert "tcpSocket" in container["livenessProbe"]


def test_secrets_are_files_and_never_values(schemas: Schemas) -> None:
    found = rendered(*example("secured"))
    for thing in of_kind(found, "Deployment").values():
        volumes = thing["spec"]["template"]["spec"]["volumes"]
        folders = {v["name"]: v["secret"]["secretName"] for v in volumes if "secret" in v}
        mounts = {m["name"]: m["mountPath"] for m in containers(thing)[-1]["volumeMounts"]}
        files = {v for v in variables(thing).values() if v.startswith("/run/")}
        assert files
        for file in files:
            folder = Path(file).parent
            assert folders[{str(v): k for k, v in mounts.items()}[str(folder)]] in OUTSIDE
            assert Path(file).name in ("tls.crt", "tls.key", "ca.crt", "tokens.toml")
    assert not of_kind(found, "Secret")
    wanted = {n for n in ALL["gateway"] if re.fullmatch(r"DIPTYCH_(TLS|SERVICES|TOKENS)_.+", n)}
    assert wanted <= set(variables(deployment(found, "gateway")))


def test_prometheus_is_let_in_where_tokens_and_tls_are_asked_for(schemas: Schemas) -> None:
    monitors = of_kind(rendered(*example("secured")), "PodMonitor")
    (gateway,) = monitors["eyes-gateway"]["spec"]["podMetricsEndpoints"]
    assert gateway["scheme"] == "https"
    assert gateway["authorization"]["credentials"] == {
        "name": "diptych-prometheus-token",
        "key": "token",
    }
    assert monitors["eyes-gateway"]["metadata"]["labels"]["release"] == "prometheus"
    rules = (ROOT / "deploy/alerts/diptych.rules.yml").read_text()
    (job,) = set(re.findall(r'job="([\w-]+)"', rules))
    assert gateway["relabelings"] == [{"targetLabel": "job", "replacement": job}]


def test_old_clusters_are_refused() -> None:
    done = template(cluster="1.29.0")
    assert done.returncode != 0
    assert "1.30.0" in done.stderr


def test_notes_say_how_to_reach_it(schemas: Schemas) -> None:
    done = helm("install", "eyes", str(CHART), "--dry-run=client", "--namespace", "vision")
    assert done.returncode == 0, done.stderr
    assert "port-forward service/eyes-gateway 50051 8080" in done.stdout
