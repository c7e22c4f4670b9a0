"""A slip in the chart or in somebody's values is caught, with a sentence that names it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from helm_chart import CHART, ROOT, Schemas, example, objects, template
from kube_consistency import faults

DOCS = ROOT / "docs" / "kubernetes.md"

# What is written wrong in what the chart renders: before, after, what is said of it.
PLANTED = {
    "apiVersion": ("apiVersion: apps/v1", "apiVersion: apps/v2", "no schema of apps/v2"),
    "kind": ("kind: PodDisruptionBudget", "kind: PodDisruptionBudgets", "no such kind"),
    "field of a Deployment": ("maxSurge: 0", "maxSurges: 0", "maxSurges"),
    "field of a pod": (
        "enableServiceLinks: false",
        "enableServiceLink: false",
        "enableServiceLink",
    ),
    "field of a probe": ("failureThreshold: 66", "failureTreshold: 66", "failureTreshold"),
    "type of a value": ("readOnlyRootFilesystem: true", 'readOnlyRootFilesystem: "yes"', "yes"),
    "field of a Service": ("clusterIP: None", "clusterIp: None", "clusterIp"),
    "field of an HPA": ("averageUtilization: 60", "averageUtilisation: 60", "averageUtilisation"),
    "field of a policy": ("policyTypes:", "policyType:", "policyType"),
    "field of KEDA": ("minReplicaCount: 2", "minReplicas: 2", "minReplicas: no such field"),
    "nested field of KEDA": ("stabilizationWindowSeconds", "stabilisationWindow", "stabilisation"),
    "type in KEDA": ("maxReplicaCount: 16", "maxReplicaCount: many", "maxReplicaCount"),
    "field of a PodMonitor": ("podMetricsEndpoints:", "podMetricEndpoints:", "podMetric"),
    "nested field of one": ("targetLabel: job", "targetLabels: job", "targetLabels: no such field"),
    "field of a GRPCRoute": ("parentRefs:", "parentRef:", "parentRef"),
    "variable of the gateway": ("DIPTYCH_CASCADES", "DIPTYCH_CASCADE", "reads DIPTYCH_CASCADE"),
    "variable of a model": (
        "DIPTYCH_CACHE_BYTES",
        "DIPTYCH_CACHE_SIZE",
        "reads DIPTYCH_CACHE_SIZE",
    ),
    "variable of another": ("DIPTYCH_DEVICE", "DIPTYCH_TOKENS_FILE", "no process reads"),
    "name of a port": ("containerPort: 50061}", "containerPort: 50063}", "which is no port"),
    "target of a Service": ("targetPort: grpc", "targetPort: grcp", "'grcp' is no port"),
    "port of a policy": ("{port: grpc, protocol", "{port: rpc, protocol", "NetworkPolicy"),
    "port of a PodMonitor": ("port: metrics\n", "port: metric\n", "'metric' is no port"),
    "address of a model": (
        "sam-2=eyes-sam-2:50061",
        "sam-2=eyes-sam2:50061",
        "dials sam-2=eyes-sam2",
    ),
    "target of KEDA": (
        "scaleTargetRef: {name: eyes-sam-2}",
        "scaleTargetRef: {name: sam-2}",
        "no {",
    ),
    "query of KEDA": ('component="sam-2"', 'component="sam2"', "asks for the queue of []"),
    "name of a volume": ("{name: tmp, mountPath", "{name: temp, mountPath", "mounts 'temp'"),
    "target of a route": (
        "- name: eyes-gateway\n          port",
        "- name: eyes\n          port",
        "GRPC",
    ),
    "who may call": (
        "component: gateway\n      ports",
        "component: sam-2\n      ports",
        "expected the g",
    ),
    "selector": ("AlwaysAllow\n  selector:\n    matchLabels:\n      app", "", "Disruption"),
    "replicas under KEDA": (
        "spec:\n  # By default",
        "spec:\n  replicas: 2\n  # By default",
        "set the replicas",
    ),
}
SELECTOR_TYPO = (
    "\n      app.kubernetes.io/name: diptych",
    "\n      app.kubernetes.io/name: dyptich",
)


@pytest.fixture(scope="module")
def text(schemas: Schemas) -> str:
    """The chart with most of what it has."""
    done = template(*example("autoscaled"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def wrong_with(text: str, schemas: Schemas) -> list[str]:
    """All that is wrong with a rendered chart."""
    found = objects(text)
    said = schemas.faults(found)
    # What a schema refuses need not make sense any more.
    return said or faults(found)


def test_nothing_is_wrong_with_what_is_planted_in(text: str, schemas: Schemas) -> None:
    assert wrong_with(text, schemas) == []


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_typo_is_caught(kind: str, text: str, schemas: Schemas) -> None:
    before, after, said = PLANTED[kind]
    assert before in text
    planted = text.replace(before, after) if after else _with_selector_typo(text, before)
    found = wrong_with(planted, schemas)
    assert any(said in sentence for sentence in found), found


def _with_selector_typo(text: str, before: str) -> str:
    start = text.index(before)
    return text[:start] + text[start:].replace(*SELECTOR_TYPO, 1)


RUBBISH: dict[str, tuple[Any, str]] = {
    "unknown key": ({"gatway": {}}, "gatway"),
    "unknown key of a model": ({"models": {"sam-2": {"replica": 3}}}, "replica"),
    "unknown key of weights": ({"models": {"sam-2": {"weights": {"pulls": []}}}}, "pulls"),
    "unknown default": ({"modelDefaults": {"gpus": 1}}, "gpus"),
    "number for text": (
        {"gateway": {"env": {"DIPTYCH_CARD_REFRESH_S": 5}}},
        "DIPTYCH_CARD_REFRESH_S",
    ),
    "large number for text": (
        {"models": {"sam-2": {"env": {"DIPTYCH_CACHE_BYTES": 1e10}}}},
        "CACHE_B",
    ),
    "text for number": ({"drainSeconds": "long"}, "drainSeconds"),
    "negative": ({"gateway": {"replicas": -1}}, "replicas"),
    "fraction": ({"gateway": {"replicas": 1.5}}, "replicas"),
    "id with capitals": ({"models": {"SAM_2": {}}}, "SAM_2"),
    "id of the gateway": ({"models": {"gateway": {}}}, "this name is the gateway's"),
    "no model": (
        {"models": {"sam-2": None, "mask-rcnn": None}, "gateway": {"cascades": []}},
        "models: expected at least one model",
    ),
    "a model twice": ({"gateway": {"elsewhere": {"sam-2": "a:1"}}}, "a model is either there or"),
    "two places in one": ({"gateway": {"elsewhere": {"bright": "a:1,b:2"}}}, "bright"),
    "number of GPUs": ({"models": {"sam-2": {"gpu": "2"}}}, "gpu"),
    "a size without a unit": ({"modelDefaults": {"weights": {"size": "10"}}}, "size"),
    "cascade of nobody": (
        {"gateway": {"cascades": ["mask-rcnn>sam-3"]}},
        '"sam-3", which is no model here',
    ),
    "cascade that is none": ({"gateway": {"cascades": ["sam-2"]}}, "cascades"),
    "a variable twice": (
        {"models": {"sam-2": {"env": {"DIPTYCH_PORT": "1"}}}},
        "models.sam-2.env.DIPTYCH_PORT: the chart sets this variable",
    ),
    "half of mTLS": (
        {"modelTls": {"serviceSecret": "a"}},
        "set both serviceSecret and gatewaySecret",
    ),
    "KEDA without Prometheus": ({"autoscaling": {"enabled": True}}, "the address of Prometheus"),
    "route to nowhere": (
        {"gateway": {"route": {"enabled": True}}},
        "expected the name of a Gateway",
    ),
    "fewest over most": (
        {"models": {"sam-2": {"autoscaling": {"min": 5}}}},
        "models.sam-2.autoscaling: expected min <= max, got 5 and 4",
    ),
    "gateways, too": (
        {"gateway": {"autoscaling": {"min": 50}}},
        "gateway.autoscaling: expected min",
    ),
    "one disk for two": (
        {
            "models": {
                "sam-2": {"replicas": 2, "weights": {"pull": ["a"], "accessMode": "ReadWriteOnce"}}
            }
        },
        "ReadWriteOnce keeps all replicas on one node",
    ),
    "metrics without a token": (
        {"monitoring": {"podMonitors": True}, "gateway": {"tokensSecret": "a"}},
        "monitoring.tokenSecret.name: the gateway's /metrics asks for a token",
    ),
    "metrics without a name": (
        {"monitoring": {"podMonitors": True}, "gateway": {"tlsSecret": "a"}},
        "gateway.tlsName: Prometheus checks the gateway's certificate",
    ),
    "secret as a value": ({"gateway": {"tokensSecret": "[tokens.me]\nsha256 = 1"}}, "tokensSecret"),
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_values_are_refused_with_a_sentence(
    kind: str, schemas: Schemas, tmp_path: Any
) -> None:
    values, said = RUBBISH[kind]
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values))
    done = template("--values", str(file))
    assert done.returncode != 0
    assert said in done.stderr, done.stderr
    assert "nil pointer" not in done.stderr
    assert len(done.stderr) < 1000, done.stderr


def test_the_schema_of_the_values_is_closed() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def open_objects(part: Any, path: str) -> Iterator[str]:
        if isinstance(part, dict):
            if part.get("type") == "object" and part.get("additionalProperties", True) is True:
                yield path
            for key, value in part.items():
                yield from open_objects(value, f"{path}/{key}")

    # Helm itself puts this key into every chart that is part of another.
    assert list(open_objects(schema, "")) == ["/properties/global"]


def helm_lines() -> list[str]:
    """The helm commands of the documentation, each on one line."""
    shown = "\n".join(re.findall(r"^```text\n(.*?)^```$", DOCS.read_text(), re.M | re.S))
    lines = [line.strip() for line in shown.replace("\\\n", " ").splitlines()]
    return [line.partition(" #")[0] for line in lines if line.startswith("helm ")]


def shown_values() -> list[str]:
    """The values that the documentation shows."""
    return re.findall(r"^```yaml\n(.*?)^```$", DOCS.read_text(), re.M | re.S)


@pytest.mark.parametrize("values", shown_values())
def test_values_of_the_documentation_render(values: str, schemas: Schemas, tmp_path: Any) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(values)
    found = objects(template("--values", str(file)).stdout)
    assert found
    assert schemas.faults(found) == []
    assert faults(found, frozenset(["our-weights"])) == []


@pytest.mark.parametrize("line", helm_lines())
def test_commands_of_the_documentation_render(line: str, schemas: Schemas) -> None:
    _, verb, release, *arguments = shlex.split(line)
    if verb not in ("install", "upgrade"):
        assert verb in ("rollback", "uninstall", "history")
        return
    chart, *options = arguments
    assert (ROOT / chart).resolve() == CHART
    kept = [
        option
        for option in options
        if option not in ("--create-namespace", "--reuse-values", "--wait")
    ]
    done = template(*kept, release=release)
    assert done.returncode == 0, done.stderr
    assert schemas.faults(objects(done.stdout)) == []
