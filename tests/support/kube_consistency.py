"""Whether Kubernetes objects fit one another and the processes in them: what no schema knows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from helm_chart import ROOT, Object, of_kind
from setting_names import ALL

COMPONENT = "app.kubernetes.io/component"
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
PROJECTS = [ROOT / "client", ROOT / "gateway", *(ROOT / "services").iterdir()]
SCRIPTS = {
    script
    for project in PROJECTS
    if (project / "pyproject.toml").is_file()
    for script in re.findall(
        r"^(diptych[\w-]*) = ", (project / "pyproject.toml").read_text(), re.MULTILINE
    )
}
# Read by the client's health check, and by `pull`; no settings class has them.
BESIDE = {"DIPTYCH_ADDRESS", "DIPTYCH_CA_FILE", "DIPTYCH_CERT_FILE", "DIPTYCH_KEY_FILE"}
FOR_WEIGHTS = {"DIPTYCH_WEIGHTS_MIRROR", "DIPTYCH_WEIGHTS_DIR"}
SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
NUMBERS = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}


def faults(found: Sequence[Object], outside: frozenset[str] = frozenset()) -> list[str]:
    """What does not fit, a sentence each; ``outside``: Secrets, claims and models of others."""
    wrong = list(_names(found))
    for name, thing in (*of_kind(found, "Deployment").items(), *of_kind(found, "Job").items()):
        wrong += (f"{thing['kind']} {name}: {line}" for line in _pod(thing, found, outside))
    for check in (_services, _selections, _policies, _scalers, _routes):
        wrong += check(found)
    return [*wrong, *_dialled(found, outside)]


def pod_labels(thing: Object) -> dict[str, str]:
    """Labels of the pods that a Deployment or Job makes."""
    labels: dict[str, str] = thing["spec"]["template"]["metadata"]["labels"]
    return labels


def selected(found: Sequence[Object], labels: Mapping[str, str]) -> list[Object]:
    """What makes pods that have all these labels."""
    makers = [thing for thing in found if thing["kind"] in ("Deployment", "Job")]
    return [thing for thing in makers if labels.items() <= pod_labels(thing).items()]


def ports(thing: Object) -> dict[str, int]:
    """Named ports of the pods that something makes."""
    containers = thing["spec"]["template"]["spec"]["containers"]
    return {p["name"]: p["containerPort"] for c in containers for p in c.get("ports", ())}


def _names(found: Sequence[Object]) -> Iterator[str]:
    for (kind, name), count in Counter((t["kind"], t["metadata"]["name"]) for t in found).items():
        if count > 1:
            yield f"{kind} {name}: {count} times"
        if not DNS_LABEL.fullmatch(name):
            yield f"{kind} {name}: no name of at most 63 letters, digits and hyphens"


def _pod(thing: Object, found: Sequence[Object], outside: frozenset[str]) -> Iterator[str]:
    pod = thing["spec"]["template"]["spec"]
    if thing["kind"] == "Deployment":
        labels = thing["spec"]["selector"]["matchLabels"]
        if selected(found, labels) != [thing]:
            yield f"selector {labels} selects not exactly its own pods"
    security = pod.get("securityContext", {})
    if not NUMBERS.items() <= security.items():
        yield f"securityContext has not {NUMBERS}"
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "has a service account's token"
    if pod.get("enableServiceLinks") is not False:
        yield "variables of Services would be taken for settings"
    volumes = {volume["name"] for volume in pod["volumes"]}
    yield from _volumes(pod["volumes"], found, outside)
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        component = pod_labels(thing)[COMPONENT].removesuffix(".weights")
        where = container["name"]
        yield from (f"{where}: {line}" for line in _container(container, component, volumes))


def _volumes(
    volumes: Sequence[Any], found: Sequence[Object], outside: frozenset[str]
) -> Iterator[str]:
    for volume in volumes:
        name = volume.get("persistentVolumeClaim", {}).get("claimName")
        name = name or volume.get("secret", {}).get("secretName")
        if name and name not in outside and name not in of_kind(found, "PersistentVolumeClaim"):
            yield f"volume {volume['name']}: there is no {name}"


def _container(container: Any, component: str, volumes: set[str]) -> Iterator[str]:
    if container["securityContext"] != SECURITY:
        yield f"securityContext is not {SECURITY}"
    if "memory" not in container["resources"].get("limits", {}):
        yield "may take all memory of its node"
    for mount in container["volumeMounts"]:
        if mount["name"] not in volumes:
            yield f"mounts {mount['name']!r}, which is no volume"
    variables = [variable["name"] for variable in container.get("env", ())]
    yield from (f"{name} is set twice" for name, n in Counter(variables).items() if n > 1)
    known = ALL.get(component, ALL["mask-rcnn"]) | BESIDE | FOR_WEIGHTS
    yield from (f"no process reads {name}" for name in variables if name not in known)
    yield from _commands(container)
    numbers = {port["containerPort"] for port in container.get("ports", ())}
    named = {port["name"] for port in container.get("ports", ())}
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.get(kind, {})
        if "grpc" in probe and probe["grpc"]["port"] not in numbers:
            yield f"{kind} asks at {probe['grpc']['port']}, which is no port"
        for way in ("tcpSocket", "httpGet"):
            if way in probe and probe[way]["port"] not in named:
                yield f"{kind} asks at {probe[way]['port']!r}, which is no port"


def _commands(container: Any) -> Iterator[str]:
    commands = [container["command"]] if "command" in container else []
    commands += [
        container[probe]["exec"]["command"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        if "exec" in container.get(probe, {})
    ]
    for command in commands:
        if command[0] not in SCRIPTS | {"sh"}:
            yield f"{command[0]!r} is no command of ours"


def _services(found: Sequence[Object]) -> Iterator[str]:
    for name, service in of_kind(found, "Service").items():
        chosen = selected(found, service["spec"]["selector"])
        if len(chosen) != 1:
            yield f"Service {name}: selects {len(chosen)} of our workloads, expected 1"
        for port in service["spec"]["ports"]:
            if chosen and port["targetPort"] not in ports(chosen[0]):
                yield f"Service {name}: port {port['targetPort']!r} is no port of its pods"


def _selections(found: Sequence[Object]) -> Iterator[str]:
    kinds = {
        "PodDisruptionBudget": "selector",
        "PodMonitor": "selector",
        "NetworkPolicy": "podSelector",
    }
    for kind, field in kinds.items():
        for name, thing in of_kind(found, kind).items():
            if len(selected(found, thing["spec"][field]["matchLabels"])) != 1:
                yield f"{kind} {name}: selects not exactly one of our workloads"
    for name, thing in of_kind(found, "PodMonitor").items():
        for maker in selected(found, thing["spec"]["selector"]["matchLabels"]):
            for endpoint in thing["spec"]["podMetricsEndpoints"]:
                if endpoint["port"] not in ports(maker):
                    yield f"PodMonitor {name}: {endpoint['port']!r} is no port of its pods"


def _policies(found: Sequence[Object]) -> Iterator[str]:
    """Who may call whom: the gateway every model, monitoring the metrics, and nobody else."""
    for name, policy in of_kind(found, "NetworkPolicy").items():
        spec = policy["spec"]
        if spec.get("egress") != [] or set(spec["policyTypes"]) != {"Ingress", "Egress"}:
            yield f"NetworkPolicy {name}: a model may reach others"
        callers = {}
        for rule in spec["ingress"]:
            (source,) = rule["from"]
            (port,) = (port["port"] for port in rule["ports"])
            callers[port] = source
            for maker in selected(found, spec["podSelector"]["matchLabels"]):
                if port not in ports(maker):
                    yield f"NetworkPolicy {name}: {port!r} is no port of its pods"
        inside = callers.get("grpc", {}).get("podSelector", {}).get("matchLabels", {})
        gateways = [pod_labels(maker)[COMPONENT] for maker in selected(found, inside)]
        if gateways != ["gateway"]:
            yield f"NetworkPolicy {name}: lets {gateways} in, expected the gateway"
        if set(callers) != {"grpc", "metrics"} or set(callers["metrics"]) != {"namespaceSelector"}:
            yield f"NetworkPolicy {name}: expected the gateway and monitoring, got {callers}"


def _scalers(found: Sequence[Object]) -> Iterator[str]:
    deployments = of_kind(found, "Deployment")
    for kind in ("ScaledObject", "HorizontalPodAutoscaler"):
        for name, scaler in of_kind(found, kind).items():
            target = scaler["spec"]["scaleTargetRef"]
            if (
                target.get("kind", "Deployment") != "Deployment"
                or target["name"] not in deployments
            ):
                yield f"{kind} {name}: there is no {target}"
            elif "replicas" in deployments[target["name"]]["spec"]:
                yield f"{kind} {name}: each upgrade would set the replicas of {target['name']} back"
    for name, scaler in of_kind(found, "ScaledObject").items():
        for trigger in scaler["spec"]["triggers"]:
            query = trigger["metadata"]["query"]
            labels = dict(re.findall(r'app_kubernetes_io_(\w+)="([^"]+)"', query))
            wanted = {f"app.kubernetes.io/{key}": value for key, value in labels.items()}
            made = [maker["metadata"]["name"] for maker in selected(found, wanted)]
            if not labels or made != [scaler["spec"]["scaleTargetRef"]["name"]]:
                yield f"ScaledObject {name}: asks for the queue of {made}"


def _routes(found: Sequence[Object]) -> Iterator[str]:
    services = of_kind(found, "Service")
    for name, route in of_kind(found, "GRPCRoute").items():
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                service = services.get(backend["name"])
                if not service or backend["port"] not in _numbers(service):
                    yield f"GRPCRoute {name}: there is no {backend}"


def _dialled(found: Sequence[Object], outside: frozenset[str]) -> Iterator[str]:
    """What the gateway dials are headless Services, one for each other Deployment."""
    services = of_kind(found, "Service")
    models = set(of_kind(found, "Deployment"))
    for name, thing in of_kind(found, "Deployment").items():
        (container,) = thing["spec"]["template"]["spec"]["containers"]
        variables = {v["name"]: v["value"] for v in container["env"]}
        if "DIPTYCH_MODELS" not in variables:
            continue
        models.remove(name)
        entries = variables["DIPTYCH_MODELS"].split(",")
        for entry in (entry for entry in entries if entry not in outside):
            host, _, port = entry.partition("=")[2].partition(":")
            models.discard(host)
            spec = services.get(host, {"spec": {}})["spec"]
            if spec.get("clusterIP") != "None" or int(port) not in _numbers(services[host]):
                yield f"Deployment {name}: dials {entry}, where no model has all its addresses"
    yield from (f"Deployment {name}: no gateway dials it" for name in models)


def _numbers(service: Object) -> set[int]:
    return {port["port"] for port in service["spec"]["ports"]}
