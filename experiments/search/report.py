"""The result of a search as a table, a policy file and a picture."""

import json
import pathlib
from typing import Any

import numpy as np

from jaxaug.search import SearchResult


def table(result: SearchResult) -> str:
    """Returns a line per candidate, the best first; a star marks the Pareto front."""
    place = {name: i for i, name in enumerate(result.names)}
    width = max(map(len, result.names))
    lines = [f"{'candidate':{width}}  affinity  diversity    score  early validation accuracy"]
    for name in result.ranking:
        i = place[name]
        star = "*" if result.front[i] else ""
        lines.append(
            f"{name:{width}}  {result.affinity[i]:8.3f}  {result.diversity[i]:9.3f} {result.scores[i]:8.3f}"
            f"  {result.validation_accuracy[i]:.4f} {star}".rstrip()
        )
    lines += [f"{name:{width}}  dropped, became NaN or infinite" for name in result.failed]
    lines.append(f"{result.clean_steps:,} steps for the clean networks, {result.early_steps:,} for the candidates")
    return "\n".join(lines)


def report_json(policy: dict[str, Any], result: SearchResult, provenance: dict[str, Any]) -> str:
    """Returns the text of the policy file: the best policy, and the statistics of all candidates."""
    columns = ("affinity", "diversity", "scores", "validation_accuracy")
    rows = [
        {"candidate": name} | {column: _number(getattr(result, column)[i]) for column in columns}
        for i, name in enumerate(result.names)
    ]
    steps = {"clean": result.clean_steps, "candidates": result.early_steps}
    return json.dumps({"policy": policy, "candidates": rows, "steps": steps, "provenance": provenance}, indent=2) + "\n"


def _number(value: np.ndarray) -> float | None:
    """Returns the number, or None for what JSON cannot hold."""
    return float(value) if np.isfinite(value) else None


def draw(result: SearchResult, path: pathlib.Path, accuracy: np.ndarray | None = None) -> None:
    """Draws affinity against diversity to a PNG.

    Args:
      result: the result of the search.
      path: output file.
      accuracy: `[P]` accuracies after full training in percent, NaN if unknown; None colors points by score.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = np.flatnonzero(np.isfinite(result.scores))
    colors, label = (result.scores, "score") if accuracy is None else (accuracy, "test accuracy after full training, %")
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    points = axes.scatter(
        result.diversity[shown], result.affinity[shown], c=np.asarray(colors)[shown], cmap="viridis", zorder=2
    )
    front = shown[result.front[shown]]
    order = front[np.argsort(result.diversity[front])]
    axes.plot(result.diversity[order], result.affinity[order], color="0.7", linewidth=1, zorder=1, label="front")
    place = {name: i for i, name in enumerate(result.names)}
    best = np.argsort(-np.asarray(colors)[shown])[:6]
    for i in shown[best]:
        axes.annotate(
            result.names[i],
            (result.diversity[i], result.affinity[i]),
            xytext=(6, 4),
            textcoords="offset points",
            fontsize="x-small",
        )
    chosen = place[result.ranking[0]]
    axes.scatter(
        result.diversity[chosen], result.affinity[chosen], s=140, facecolors="none", edgecolors="red", label="chosen"
    )
    axes.set_xscale("log")
    axes.set_xlabel("diversity: early training loss, relative to clean")
    axes.set_ylabel("affinity: accuracy of a clean network, relative to clean images")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize="small")
    figure.colorbar(points, label=label)
    FigureCanvasAgg(figure).print_png(str(path))
