"""Write what follows from ``services.toml``: the Procfiles, parts of Dockerfile and compose files.

    python services/render.py            # write
    python services/render.py --check    # say what is not current, and fail

A part stands between the lines ``# <<< services.toml: NAME`` and ``# >>>``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomllib

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "services" / "services.toml"
_PART = re.compile(
    r"(?P<begin>^ *# <<< services\.toml: (?P<name>[\w-]+)\n).*?(?P<end>^ *# >>>$)", re.M | re.S
)
_PROCFILE = """\
# Written by `make services` from services/services.toml; run by `make up` (honcho). Settings come
# from the environment or from `.env`. The runner stops all of them when one ends, so each line
# starts its own again after a crash; what a service says by itself ends the loop: 0 told to stop,
# 1 given up, 2 a setting to change.
"""
_ON_RAY = """\
# Written by `make services` from services/services.toml; run by `make ray` (honcho). Ray runs one
# of every model that is installed. The gateway asks its directory, and both stop together.
"""
# It is in a group of its own, which the runner does not know.
_TOLD = (
    "trap 'kill $pid' TERM; {run} & pid=$!; wait $pid; rc=$?; "
    "[ $rc -le 128 ] || {{ wait $pid; rc=$?; }}; exit $rc"
)
_DIRECTORY = "http://localhost:8000/replicas"
_BUILT = """\
ARG VERSION
ARG REVISION
ARG SOURCE
ARG CREATED
ENV DIPTYCH_REVISION=$REVISION
LABEL org.opencontainers.image.version="$VERSION" \\
    org.opencontainers.image.revision="$REVISION" \\
    org.opencontainers.image.source="$SOURCE" \\
    org.opencontainers.image.created="$CREATED"
"""
_SHARED = ("diptych", "diptych_runtime", "diptych_torch")
_LOOP = "trap : TERM; until {run}; rc=$?; [ $rc -le 2 ]; do sleep 1; done; exit $rc"


@dataclass(frozen=True)
class Service:
    """A model service, as the list has it."""

    model_id: str
    title: str
    port: int
    gpu: int
    settings: tuple[str, ...] = ()
    pip_environment: str = ""
    pip_options: str = ""
    official: Mapping[str, Any] = field(default_factory=dict)

    @property
    def package(self) -> str:
        """The Python package."""
        return f"diptych_{self.model_id.replace('-', '')}"

    @property
    def variable(self) -> str:
        """The model's id inside names of variables, such as ``MASK_RCNN``."""
        return self.model_id.replace("-", "_").upper()


def read_list() -> tuple[list[Service], str]:
    """All model services in the order of the list, and the default of ``DIPTYCH_CASCADES``."""
    content: Mapping[str, Any] = tomllib.loads(LIST.read_text())
    services = [
        Service(model_id, **{**entry, "settings": tuple(entry.get("settings", ()))})
        for model_id, entry in content["models"].items()
    ]
    return services, ",".join(content["cascades"])


def procfile(services: list[Service], cascades: str) -> str:
    """The whole Procfile."""
    lines = [
        f"{s.model_id}: {_LOOP.format(run=f'DIPTYCH_PORT={s.port} diptych-{s.model_id}')}"
        for s in services
    ]
    lines.append(_gateway([f"{s.model_id}=localhost:{s.port}" for s in services], cascades))
    return _PROCFILE + "\n".join(lines) + "\n"


def on_ray(services: list[Service], cascades: str) -> str:
    """The Procfile that has the models run by Ray on this machine."""
    ray = f"ray: {_TOLD.format(run='python -m diptych_ray')}"
    gateway = _gateway([f"{s.model_id}={_DIRECTORY}" for s in services], cascades)
    return f"{_ON_RAY}{ray}\n{gateway}\n"


def _gateway(models: list[str], cascades: str) -> str:
    run = (
        f'DIPTYCH_PORT=50051 DIPTYCH_MODELS="${{DIPTYCH_MODELS:-{",".join(models)}}}" '
        f'DIPTYCH_CASCADES="${{DIPTYCH_CASCADES-{cascades}}}" diptych-gateway'
    )
    return f"gateway: {_LOOP.format(run=run)}"


def images(service: Service) -> str:
    """The stages of a model's image."""
    why = f"{service.pip_environment} " if service.pip_environment else ""
    options = f" {service.pip_options}" if service.pip_options else ""
    shared = " ".join(f"/wheels/{name}-*.whl" for name in _SHARED)
    return f"""\
FROM above-torch AS build-{service.model_id}
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
COPY locks/{service.model_id}.txt /opt/locks/
RUN {why}pip --python /opt/diptych/bin/python install -q --no-cache-dir \\
        --require-hashes{options} -r /opt/locks/{service.model_id}.txt \\
    && pip --python /opt/diptych/bin/python install -q --no-index --no-deps \\
        {shared} \\
        /wheels/{service.package}-*.whl

FROM torch AS {service.model_id}
COPY --from=build-{service.model_id} /opt/diptych /opt/diptych
ENV DIPTYCH_ADDRESS=localhost:{service.port}
LABEL org.opencontainers.image.title="diptych-{service.model_id}" \\
    org.opencontainers.image.description="{service.title} behind the Diptych contract"
{_BUILT}USER 10001:10001
EXPOSE {service.port}
ENTRYPOINT ["diptych-{service.model_id}"]
"""


def common(service: Service) -> str:
    """What a model's container is made of, whatever its profile."""
    name = service.model_id
    settings = "".join(f"      {variable}:\n" for variable in service.settings)
    return f"""\
  {name}:
    <<: *model
    image: diptych-{name}
    build: {{<<: *build, target: {name}}}
    networks: {{models: {{aliases: [{name}]}}}}
    environment:
      <<: *model-settings
{settings}"""


def on_gpu(service: Service) -> str:
    """A model on a GPU of its own."""
    return f"""\
  {service.model_id}:
    extends: {{file: docker-compose.common.yml, service: {service.model_id}}}
    profiles: [gpu]
    environment: {{DIPTYCH_DEVICE: "cuda:0"}}
    deploy:
      resources:
        reservations:
          devices:
            - driver: nvidia
              device_ids: ["${{DIPTYCH_{service.variable}_GPU:-{service.gpu}}}"]
              capabilities: [gpu]
"""


def on_cpu(service: Service) -> str:
    """A model on a machine without a GPU."""
    return f"""\
  {service.model_id}-cpu:
    extends: {{file: docker-compose.common.yml, service: {service.model_id}}}
    profiles: [cpu]
    environment: {{DIPTYCH_DEVICE: cpu}}
"""


def secured(service: Service) -> str:
    """A model's two containers with certificates."""
    return f"  {service.model_id}: *model\n  {service.model_id}-cpu: *model\n"


def dialled(services: list[Service], cascades: str) -> str:
    """What the gateway's container knows of the models."""
    models = ",".join(f"{s.model_id}={s.model_id}:{s.port}" for s in services)
    return (
        f"      DIPTYCH_MODELS: ${{DIPTYCH_MODELS:-{models}}}\n"
        f"      DIPTYCH_CASCADES: ${{DIPTYCH_CASCADES-{cascades}}}\n"
    )


def rendered() -> dict[Path, str]:
    """Every file as it ought to be."""
    services, cascades = read_list()

    def each(make: Callable[[Service], str], between: str = "\n") -> str:
        return between.join(make(service) for service in services)

    parts = {
        "Dockerfile": {"images": each(images, "\n\n")},
        "docker-compose.common.yml": {
            "dialled": dialled(services, cascades),
            "services": each(common),
        },
        "docker-compose.yml": {"gpu": each(on_gpu), "cpu": each(on_cpu)},
        "docker-compose.tls.yml": {"services": each(secured, "")},
    }
    files = {
        ROOT / "Procfile": procfile(services, cascades),
        ROOT / "services" / "ray" / "Procfile": on_ray(services, cascades),
    }
    for name, blocks in parts.items():
        files[ROOT / name] = _filled((ROOT / name).read_text(), blocks, name)
    return files


def _filled(text: str, blocks: Mapping[str, str], file: str) -> str:
    found = [match["name"] for match in _PART.finditer(text)]
    if sorted(found) != sorted(blocks):
        raise SystemExit(f"{file}: expected the parts {sorted(blocks)}, found {sorted(found)}")
    return _PART.sub(lambda match: match["begin"] + blocks[match["name"]] + match["end"], text)


def main() -> int:
    """Write or check; returns the exit status."""
    old = {path: text for path, text in rendered().items() if path.read_text() != text}
    for path, text in old.items():
        if "--check" in sys.argv[1:]:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not current: run `make services`\n")
        else:
            path.write_text(text)
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 1 if old and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
