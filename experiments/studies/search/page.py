"""The page and the picture of how well the search chooses."""

import pathlib
from typing import Any

import numpy as np
import scipy.stats

from experiments.run.directory import environment_in_words
from experiments.search.choices import (
    HALVING,
    INDICATORS,
    VALIDATION,
    WITH_VALIDATION,
    Choice,
    choices,
    regrets_of_one_run,
)
from experiments.studies.jsonl import mean_text

BUDGETS = (0.1, 0.2, 0.4)


def within(found: list[Choice], way: str, budget: float) -> Choice | None:
    """Returns the dearest choice of a way that a budget pays."""
    paid = [choice for choice in found if choice.way == way and choice.share <= budget]
    return max(paid, key=lambda choice: choice.share) if paid else None


def table(line: dict[str, Any], found: list[Choice]) -> str:
    """Returns the Markdown tables of one dataset."""
    accuracies = 100 * np.array(line["test"], np.float64).mean(axis=1)
    best = int(np.nanargmax(accuracies))
    truth = f"{accuracies[best]:.2f} % after `{line['candidates'][best]}`, {accuracies[0]:.2f} % after nothing"
    lottery = float(np.nanmean(np.nanmax(accuracies) - accuracies))
    out = [
        f"\n## {line['dataset']}\n",
        f"{len(accuracies)} candidates, {len(line['test'][0])} seeds, {line['examples']:,} training examples. Test\n"
        f"accuracy after full training: best {truth};\n"
        f"a candidate drawn by lot is {lottery:.2f} points below the best, the one of the highest test accuracy in a\n"
        f"single full run {mean_text(regrets_of_one_run(line), scipy.stats.sem)}.\n",
        "| chosen by | " + " | ".join(f"regret at {b:g} | rank correlation" for b in BUDGETS) + " |",
        "|---" * (1 + 2 * len(BUDGETS)) + "|",
    ]
    for way in (*INDICATORS, WITH_VALIDATION, VALIDATION, HALVING):
        cells = []
        for choice in (within(found, way, budget) for budget in BUDGETS):
            if choice is None:
                cells += ["-", "-"]
                continue
            cells.append(f"{mean_text(choice.regret, scipy.stats.sem)} ({choice.share:.3f})")
            cells.append(f"{np.nanmean(choice.correlation):.2f}")
        out.append(f"| {way} | {' | '.join(cells)} |")
    order = np.argsort(-accuracies)[:5]
    first = ", ".join(f"`{line['candidates'][i]}` {accuracies[i]:.2f}" for i in order)
    return "\n".join(out) + f"\n\nThe first five: {first}.\n"


def page(lines: list[dict[str, Any]], picture: str) -> str:
    """Returns the Markdown page."""
    machines = sorted({environment_in_words(line) for line in lines})
    commands = sorted({line["command"] for line in lines})
    return f"""# Search by affinity and diversity

Written by `python -m experiments.studies.search` from the lines of [search.jsonl](search.jsonl). Every candidate was
trained to the end with every seed; a search has one seed, and is judged by the mean test accuracy of the *others*.
Regret: percentage points of test accuracy between the best candidate and the one chosen, mean ± standard error over the
searches. "At 0.1": with at most a tenth of the steps of training every candidate to the end; in brackets the share
really spent. The indicators pay for one clean network trained to the end and k epochs of every candidate, early
validation accuracy for k epochs of every candidate, successive halving for its rungs.
{"".join(table(line, list(choices(line))) for line in lines)}
![Regret against steps, and candidates by affinity and diversity]({picture})

```sh
{chr(10).join(commands)}
```

{"; ".join(machines)}.
"""


def draw(lines: list[dict[str, Any]], path: pathlib.Path) -> None:
    """Draws regret against cost, and the candidates by affinity and diversity, one row for each dataset."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5 * len(lines)), layout="constrained")
    for (left, right), line in zip(figure.subplots(len(lines), 2, squeeze=False), lines, strict=True):
        found = list(choices(line))
        for way in ("product", "log sum, weight 0.5", "rank sum", "z-score sum, weight 0.5", VALIDATION, HALVING):
            mine = sorted((c for c in found if c.way == way), key=lambda choice: choice.share)
            style = "--" if way in (VALIDATION, HALVING) else "-"
            left.plot([c.share for c in mine], [c.regret.mean() for c in mine], style, label=way)
        left.set_xscale("log")
        left.set_xlim(0.02, 1.05)
        left.set_ylim(bottom=0)
        left.axvline(0.1, color="0.8", linewidth=1, zorder=0)
        left.set_xlabel("share of the steps of the full search")
        left.set_ylabel("regret, percentage points")
        left.set_title(line["dataset"])
        left.legend(fontsize="x-small")
        left.grid(alpha=0.3)
        losses = np.array(line["loss"], np.float64)
        early = (losses[:, :, 2] / losses[:1, :, 2]).mean(axis=1)
        accuracies = 100 * np.array(line["test"], np.float64).mean(axis=1)
        affinities = np.array(line["affinity"]).mean(axis=1)
        points = right.scatter(early, affinities, c=accuracies, cmap="viridis")
        best = np.argsort(-np.nan_to_num(accuracies))[:5]
        for rank, i in enumerate(best, start=1):
            right.annotate(f"{rank}", (early[i], affinities[i]), (4, 3), textcoords="offset points", fontsize="small")
        names = "\n".join(f"{rank}  {line['candidates'][i]}" for rank, i in enumerate(best, start=1))
        right.text(0.02, 0.02, names, transform=right.transAxes, fontsize="x-small", verticalalignment="bottom")
        right.set_xscale("log")
        right.set_xlabel("diversity after 3 epochs")
        right.set_ylabel("affinity")
        right.grid(alpha=0.3)
        figure.colorbar(points, label="test accuracy after full training, %")
    FigureCanvasAgg(figure).print_png(str(path))
