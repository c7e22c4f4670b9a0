"""The model services, as ``services/services.toml`` lists them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tomllib

LIST = Path(__file__).resolve().parents[2] / "services" / "services.toml"


@dataclass(frozen=True)
class ListedService:
    """What tests need of an entry."""

    package: str
    port: int
    gpu: int
    settings: tuple[str, ...]


MODELS = {
    model_id: ListedService(
        f"diptych_{model_id.replace('-', '')}",
        entry["port"],
        entry["gpu"],
        tuple(entry.get("settings", ())),
    )
    for model_id, entry in tomllib.loads(LIST.read_text())["models"].items()
}
