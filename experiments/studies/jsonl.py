"""The lines of a table of results: JSONL, one finished row each, on what it ran, and how its numbers are printed."""

import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from experiments.run.directory import replace_text


def read_jsonl(path: pathlib.Path) -> list[dict[str, Any]]:
    """Returns the lines of a JSONL file, none if it is not there."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_jsonl(path: pathlib.Path, lines: list[dict[str, Any]]) -> None:
    """Writes the lines, so that at every moment the file holds the old ones or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def machine(environment: dict[str, Any]) -> dict[str, Any]:
    """Returns what a line says of the environment that it was made in."""
    return {name: environment[name] for name in ("versions", "python", "devices", "cpus", "git_revision")}


def error_percent(line: dict[str, Any]) -> np.ndarray:
    """Returns the test errors of a line, seed by seed."""
    return 100 * (1 - np.array(line["accuracies"]))


def sample_deviation(values: np.ndarray) -> float:
    """Returns the deviation of the law that the values are a sample of."""
    return float(np.std(values, ddof=1))


def mean_text(values: np.ndarray, deviation: Callable[[np.ndarray], float], *, sign: str = "", digits: int = 2) -> str:
    """Returns mean ± deviation."""
    return f"{np.mean(values):{sign}.{digits}f} ± {deviation(values):.{digits}f}"


class Difference(NamedTuple):
    """Values minus those of a base, over paired seeds."""

    mean: float
    deviation: float
    p: float
    seeds: int


def paired_difference(values: np.ndarray, base: np.ndarray) -> Difference:
    """Returns the difference over the seeds that both have, with the p value of the paired t test."""
    seeds = min(len(values), len(base))
    delta = np.asarray(values)[:seeds] - np.asarray(base)[:seeds]
    if seeds < 2:
        return Difference(float(delta.mean()), float("nan"), float("nan"), seeds)
    p = 1.0 if not delta.any() else float(scipy.stats.ttest_rel(values[:seeds], base[:seeds]).pvalue)
    return Difference(float(delta.mean()), float(delta.std(ddof=1)), p, seeds)


def paired_texts(
    values: np.ndarray, base: np.ndarray, deviation: Callable[[np.ndarray], float], *, digits: int = 2
) -> tuple[str, str]:
    """Returns the difference to `base`, mean ± deviation over seeds, and the p value of the paired t test."""
    text = mean_text(values - base, deviation, sign="+", digits=digits)
    return text, f"{paired_difference(values, base).p:.2g}"
