"""Official weights for ``make demo`` and ``make up``: download them once, say how to load them.

WEIGHTS=official python official_weights.py FILE

Downloads what ``services/services.toml`` names as official and writes the settings that load it to
FILE, one ``NAME=value`` a line. With WEIGHTS=demo, which is the default, FILE is empty. The exit
status is 1, with one line on stderr, where they cannot be had.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tomllib

from diptych_runtime.main import ServiceSpec, get_weights
from diptych_runtime.weights import OfficialWeights, WeightsError, cache_dir, is_stored

SERVICES = Path(__file__).resolve().parent / "services" / "services.toml"
CHOICES = ("demo", "official")
INTERRUPTED = 130


class OfficialWeightsError(Exception):
    """They cannot be had; the message is one sentence that says why and what to do."""


def models() -> dict[str, dict[str, Any]]:
    """The list of model services, by id."""
    listed: dict[str, dict[str, Any]] = tomllib.loads(SERVICES.read_text())["models"]
    return listed


def choice(environment: Mapping[str, str]) -> str:
    """What the variable WEIGHTS asks for: ``demo``, also where it is not set, or ``official``.

    Raises:
        OfficialWeightsError: it asks for something else.
    """
    asked = environment.get("WEIGHTS") or CHOICES[0]
    if asked not in CHOICES:
        raise OfficialWeightsError(f"WEIGHTS={asked}: expected {' or '.join(CHOICES)}")
    return asked


def settings_of(asked: str, say: Callable[[str], None]) -> dict[str, str]:
    """The settings that load these weights, which are there afterwards.

    Args:
        asked: ``demo`` or ``official``.
        say: Takes what is going to be downloaded, line by line.

    Raises:
        OfficialWeightsError: a download is refused, breaks or is not what was published.
    """
    if asked == "demo":
        return {}
    wanted = {name: entry["official"] for name, entry in models().items() if "official" in entry}
    specs = {name: _spec(name) for name in wanted}
    missing = [
        weights
        for name, official in wanted.items()
        if not is_stored(weights := _named(specs[name], official["weights"]))
    ]
    _announce(missing, say)
    for name, official in wanted.items():
        try:
            get_weights(specs[name], official["weights"])
        except WeightsError as error:
            raise OfficialWeightsError(
                f"{official['weights']} cannot be had: {error}; the demo weights, without "
                "WEIGHTS=official, need no network"
            ) from error
    return {k: v for official in wanted.values() for k, v in official["settings"].items()}


def _announce(missing: list[OfficialWeights], say: Callable[[str], None]) -> None:
    if not missing:
        return
    total = sum(weights.size_bytes for weights in missing)
    say(f"Official weights, {total / 1e6:.0f} MB to download once and keep in {cache_dir()}:")
    for weights in missing:
        millions = f"{weights.parameter_count / 1e6:.1f} M parameters"
        say(f"  {weights.name:20} {weights.size_bytes / 1e6:5.0f} MB, {millions}")


def _spec(model_id: str) -> ServiceSpec:
    package = f"diptych_{model_id.replace('-', '')}"
    spec: ServiceSpec = importlib.import_module(f"{package}.__main__").SPEC
    return spec


def _named(spec: ServiceSpec, name: str) -> OfficialWeights:
    return next(weights for weights in spec.official if weights.name == name)


def say(text: str) -> None:
    """Tell the person at the terminal, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Write the file; returns the exit status."""
    (path,) = map(Path, sys.argv[1:])
    try:
        settings = settings_of(choice(os.environ), say)
    except OfficialWeightsError as error:
        sys.stderr.write(f"official weights: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("official weights: interrupted; the next run goes on from here\n")
        return INTERRUPTED
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
