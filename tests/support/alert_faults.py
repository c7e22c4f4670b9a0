"""What Prometheus sees during each kind of fault, and the one alert that has to fire for it.

``python tests/support/alert_faults.py`` writes ``deploy/alerts/tests/faults.yml`` for promtool.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ALERTS = Path(__file__).parents[2] / "deploy/alerts"
RULES = ALERTS / "diptych.rules.yml"
FAULTS = ALERTS / "tests/faults.yml"

_LABELS = {
    "instance": "gateway:8080",
    "model": "one",
    "job": "diptych-gateway",
    "files": "tokens",
    "replica": "2",
}
_UP = 'up{instance="gateway:8080",job="diptych-gateway"}'
_MODEL = 'diptych_model_{}{{instance="gateway:8080",model="one"}}'
_REPLICA = 'diptych_replica_{}{{instance="gateway:8080",model="one",replica="{}"}}'
_SERVICE = '{}{{instance="10.0.0.2:9464"}}'
_GATEWAY = 'diptych_gateway_{}{{instance="gateway:8080"}}'
_ERRORS = (
    'diptych_gateway_errors_total{{instance="gateway:8080",transport="grpc",code="{}",reason="{}"}}'
)
_FULL = _ERRORS.format("RESOURCE_EXHAUSTED", "QUEUE_FULL")
_LATE = _ERRORS.format("DEADLINE_EXCEEDED", "DEADLINE")
_INTERNAL = _ERRORS.format("INTERNAL", "MODEL_FAILED")
_DEVICE = _ERRORS.format("RESOURCE_EXHAUSTED", "DEVICE_MEMORY")
_LOST = _ERRORS.format("ABORTED", "SESSION_LOST")
_IS_UP, _ONE_UP = _MODEL.format("up"), _REPLICA.format("up", 2)
_SINCE = _REPLICA.format("counting_since_seconds", 2)
_WAIT, _OTHER_WAIT = (_REPLICA.format("queue_seconds", number) for number in (2, 3))
_WEIGHTS, _LOOKUP = _MODEL.format("weights"), _MODEL.format("lookup_fails")
_ENGINE = _MODEL.format("engine_restarts_total")
_LAG = _GATEWAY.format("loop_lag_seconds_sum")
_UNUSABLE = 'diptych_gateway_unusable_files{instance="gateway:8080",files="tokens"}'
_OPEN = 'process_open_fds{instance="gateway:8080"}'
_SERVICE_LAG = _SERVICE.format("diptych_loop_lag_seconds_sum")
_SERVICE_OPEN = _SERVICE.format("process_open_fds")
_SERVICE_MEMORY = _SERVICE.format("diptych_memory_bytes")
_SERVICE_FILES = 'diptych_unusable_files{instance="10.0.0.2:9464",files="tls"}'
_RESIDENT = 'process_resident_memory_bytes{instance="gateway:8080"}'

# Four samples a minute, twenty minutes: a busy day on which a few requests are late or refused.
HEALTHY = {
    _UP: "1+0x80",
    _IS_UP: "1+0x80",
    _ONE_UP: "1+0x80",
    _REPLICA.format("up", 3): "1+0x80",
    _SINCE: "1000+0x80",
    _REPLICA.format("counting_since_seconds", 3): "1000+0x80",
    _WAIT: "15+0x80",
    _OTHER_WAIT: "0.5+0x80",
    _WEIGHTS: "1+0x80",
    _LOOKUP: "0+0x80",
    _ENGINE: "1+0x80",
    'diptych_gateway_requests_total{instance="gateway:8080",transport="grpc",method="Segment",'
    'code="OK"}': "0+150x80",
    _FULL: "0+2x80",
    _LATE: "0+2x80",
    _INTERNAL: "5+0x80",
    _DEVICE: "5+0x80",
    _LOST: "5+0x80",
    _LAG: "0+0.03x80",
    _GATEWAY.format("loop_lag_seconds_count"): "0+60x80",
    _OPEN: "60+0x80",
    'process_max_fds{instance="gateway:8080"}': "1024+0x80",
    _RESIDENT: "500000000+0x80",
    _GATEWAY.format("memory_limit_bytes"): "4000000000+0x80",
    _UNUSABLE: "0+0x80",
    _SERVICE_LAG: "0+0.03x80",
    _SERVICE.format("diptych_loop_lag_seconds_count"): "0+60x80",
    _SERVICE_OPEN: "60+0x80",
    _SERVICE.format("process_max_fds"): "1024+0x80",
    _SERVICE.format("process_resident_memory_bytes"): "200000000+0x80",
    _SERVICE_MEMORY: "3000000000+0x80",
    _SERVICE.format("diptych_memory_limit_bytes"): "8000000000+0x80",
    _SERVICE_FILES: "0+0x80",
}


@dataclass(frozen=True)
class Fault:
    """One kind of fault: the series that it changes, and the alert with its labels."""

    name: str
    series: dict[str, str]
    alert: str = ""
    labels: tuple[str, ...] = ("instance",)
    values: dict[str, str] = field(default_factory=dict)
    """Of labels, where they are not the usual ones."""


FAULTS_SEEN = (
    Fault("nothing is wrong", {}),
    Fault(
        "a rolling restart of the only replica",
        {
            _IS_UP: "1+0x40 0 0 1+0x38",
            _ONE_UP: "1+0x40 0 0 1+0x38",
            _SINCE: "1000+0x40 _ _ 2000+0x38",
            _ENGINE: "0+0x80",
        },
    ),
    Fault(
        "a rolling update of two replicas, for a while with two kinds of weights",
        {
            _ONE_UP: "1+0x40 0 0 1+0x38",
            _SINCE: "1000+0x40 _ _ 2000+0x38",
            _REPLICA.format("counting_since_seconds", 3): "1000+0x60 _ _ 3000+0x18",
            _WEIGHTS: "1+0x42 2+0x18 1+0x20",
        },
    ),
    Fault("gateway down", {_UP: "1+0x60 0+0x20"}, "DiptychGatewayDown", ("instance", "job")),
    Fault(
        "model down, frozen or behind a black hole",
        {
            _IS_UP: "1+0x60 0+0x20",
            _ONE_UP: "1+0x60 0+0x20",
            _REPLICA.format("up", 3): "1+0x60 0+0x20",
            _SINCE: "1000+0x60 _x20",
            _LATE: "0+2x60 120+9x20",
        },
        "DiptychModelDown",
        ("instance", "model"),
    ),
    Fault(
        "one replica of two down",
        {_ONE_UP: "1+0x60 0+0x20", _SINCE: "1000+0x60 _x20", _WAIT: "15+0x60 _x20"},
        "DiptychReplicaDown",
        ("instance", "model", "replica"),
    ),
    Fault(
        "replicas with different weights",
        {_WEIGHTS: "1+0x10 2+0x70"},
        "DiptychReplicasUnlike",
        ("instance", "model"),
    ),
    Fault(
        "a directory of replicas that does not answer",
        {_LOOKUP: "0+0x40 1+0x40"},
        "DiptychLookupFails",
        ("instance", "model"),
    ),
    Fault(
        "a service in a crash loop",
        {
            _ONE_UP: "1+0x40 0 0 1+0x8 0 0 1+0x8 0 0 1+0x17",
            _SINCE: "1000+0x40 _ _ 2000+0x8 _ _ 3000+0x8 _ _ 4000+0x17",
        },
        "DiptychServiceRestarts",
        ("instance", "model", "replica"),
    ),
    Fault(
        "an engine in a crash loop",
        {_ENGINE: "1+0x40 2+0x10 3+0x10 5+0x18"},
        "DiptychEngineRestarts",
        ("instance", "model"),
    ),
    Fault(
        "more is offered than can be done",
        {
            _FULL: "0+2x30 60+300x50",
            _LATE: "0+2x30 60+30x50",
            _WAIT: "15+0x30 40+0x50",
            _OTHER_WAIT: "0.5+0x30 40+0x50",
        },
        "DiptychOverloaded",
    ),
    Fault(
        "queues that are long on every replica",
        {_OTHER_WAIT: "0.5+0x30 30+0x50"},
        "DiptychQueueLong",
        ("instance", "model"),
    ),
    Fault("a model that is slow", {_LATE: "0+2x30 60+30x50"}, "DiptychSlow"),
    Fault(
        "an event loop that hangs",
        {_LAG: "0+0.03x60 2+4x20", _LATE: "0+2x60 120+30x20"},
        "DiptychLoopHangs",
    ),
    Fault(
        "an event loop of a service that hangs",
        {_SERVICE_LAG: "0+0.03x60 2+4x20"},
        "DiptychLoopHangs",
        values={"instance": "10.0.0.2:9464"},
    ),
    Fault(
        "files of a service nearly out",
        {_SERVICE_OPEN: "60+0x60 900+0x20"},
        "DiptychFilesNearlyOut",
        values={"instance": "10.0.0.2:9464"},
    ),
    Fault(
        "memory of a service and its engine nearly out",
        {_SERVICE_MEMORY: "3000000000+0x60 7500000000+0x20"},
        "DiptychMemoryNearlyOut",
        values={"instance": "10.0.0.2:9464"},
    ),
    Fault(
        "a certificate of a service that cannot be read",
        {_SERVICE_FILES: "0+0x60 1+0x20"},
        "DiptychFilesUnusable",
        ("instance", "files"),
        {"instance": "10.0.0.2:9464", "files": "tls"},
    ),
    Fault("files nearly out", {_OPEN: "60+0x60 900+0x20"}, "DiptychFilesNearlyOut"),
    Fault(
        "memory nearly out", {_RESIDENT: "500000000+0x60 3900000000+0x20"}, "DiptychMemoryNearlyOut"
    ),
    Fault(
        "a file of tokens that cannot be read",
        {_UNUSABLE: "0+0x60 1+0x20"},
        "DiptychFilesUnusable",
        ("instance", "files"),
    ),
    Fault("sessions lost", {_LOST: "5+0x60 8+0x20"}, "DiptychSessionsLost"),
    Fault("a device without memory", {_DEVICE: "5+0x60 8+0x20"}, "DiptychDeviceMemory"),
    Fault("a model that fails", {_INTERNAL: "5+0x60 8+0x20"}, "DiptychInternalErrors"),
)


def rules() -> list[dict[str, Any]]:
    """Every rule of the file, in its order."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def document() -> str:
    """What promtool is to check: after each fault its alert fires, and every other does not."""
    tests = [
        {
            "name": fault.name,
            "interval": "15s",
            "input_series": [
                {"series": series, "values": values}
                for series, values in {**HEALTHY, **fault.series}.items()
            ],
            "alert_rule_test": [
                {
                    "eval_time": "18m30s",
                    "alertname": rule["alert"],
                    "exp_alerts": [_firing(rule, fault)] if rule["alert"] == fault.alert else [],
                }
                for rule in rules()
            ],
        }
        for fault in FAULTS_SEEN
    ]
    whole = {"rule_files": ["../diptych.rules.yml"], "evaluation_interval": "15s", "tests": tests}
    return "# Written by tests/support/alert_faults.py.\n" + yaml.safe_dump(
        whole, sort_keys=False, width=1000
    )


def _firing(rule: dict[str, Any], fault: Fault) -> dict[str, Any]:
    labels = {name: (_LABELS | fault.values)[name] for name in fault.labels}
    summary = re.sub(
        r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], rule["annotations"]["summary"]
    )
    return {"exp_labels": labels | rule["labels"], "exp_annotations": {"summary": summary}}


if __name__ == "__main__":
    FAULTS.write_text(document())
