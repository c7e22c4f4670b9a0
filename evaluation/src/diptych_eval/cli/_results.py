"""``diptych eval report``, ``compare`` and ``card``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..results import ModelFigures

_RESULTS = click.Path(exists=True, file_okay=False, path_type=Path)
_TYPES = {
    "segm": "image-segmentation",
    "bbox": "object-detection",
    "keypoints": "keypoint-detection",
    "prompted": "mask-generation",
    "agnostic": "mask-generation",
    "semantic": "image-segmentation",
    "video": "video-segmentation",
    "boundary": "image-segmentation",
}
"""Families of figures, and what Hugging Face calls their task."""


@click.command(short_help="Write the report of a run again.")
@click.argument("results", type=_RESULTS)
def report(results: Path) -> None:
    """Write report.html, report.md and per_picture.csv of RESULTS again, and print its table."""
    from ..evaluation import Run
    from ._tables import print_run

    try:
        run = Run.load(results)
        run.save_html()
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    print_run(run)


@click.command(short_help="Subtract the figures of two runs on the same labels.")
@click.argument("a", type=_RESULTS)
@click.argument("b", type=_RESULTS)
@click.option("--bootstrap", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def compare(a: Path, b: Path, bootstrap: int, seed: int) -> None:
    """Say how much more each model has in run B than in run A, with intervals.

    Both have to be of the same labels: of two weights, tiers or versions, for example.
    """
    from ..comparing import compare_runs
    from ._tables import print_figures

    try:
        figures = compare_runs(a, b, bootstrap=bootstrap, seed=seed)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    print_figures(figures)


@click.command(short_help="Print figures for a model card of Hugging Face.")
@click.argument("results", type=_RESULTS)
@click.option("--model", "models", multiple=True, metavar="ID", help="Only these.")
def card(results: Path, models: tuple[str, ...]) -> None:
    """Print the `model-index` of RESULTS: YAML for the head of a model card on Hugging Face.

    With one --model it is what the card of that model takes.
    """
    from ..evaluation import Run

    try:
        run = Run.load(results)
        chosen = [run[model].raw for model in models or run.models]
    except (ValueError, KeyError) as error:
        raise click.UsageError(f"{error.args[0]}.") from error
    figures = run.figures
    click.echo("model-index:")
    for model in chosen:
        document = _entry(model, figures.dataset, figures.dataset_sha256, figures.picture_count)
        click.echo("\n".join(_yaml(document)))


def _entry(model: ModelFigures, dataset: str, sha256: str, pictures: int) -> dict[str, Any]:
    results = []
    for family, task in _TYPES.items():
        metrics = [
            {"type": name, "name": name, "value": round(value.value, 6)}
            for name, value in model.values.items()
            if name.startswith(f"{family}/") and value.value is not None
        ]
        if metrics:
            results.append(
                {
                    "task": {"type": task},
                    "dataset": {
                        "type": dataset,
                        "name": f"{dataset}, {pictures} pictures",
                        "args": {"sha256": sha256},
                    },
                    "metrics": metrics,
                }
            )
    return {"name": model.model_id, "results": results}


def _yaml(entry: dict[str, Any]) -> list[str]:
    """Lines of an entry of a list; JSON is YAML, so that names need no quoting of their own."""
    lines = [f"- name: {json.dumps(entry['name'])}", "  results:"]
    for result in entry["results"]:
        lines.append(f"  - task: {json.dumps(result['task'])}")
        lines.append(f"    dataset: {json.dumps(result['dataset'])}")
        lines.append("    metrics:")
        lines += [f"    - {json.dumps(metric)}" for metric in result["metrics"]]
    return lines
