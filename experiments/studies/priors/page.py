"""The page and the picture that are made of the finished rows."""

import pathlib
from typing import Any

import numpy as np

from experiments.run.directory import environment_in_words
from experiments.studies.jsonl import error_percent, mean_text, paired_texts, sample_deviation
from experiments.studies.priors.long_tail import SHOTS
from experiments.studies.priors.runs import BATCH_SIZE

Lines = list[dict[str, Any]]


def error_table(lines: Lines, title: str) -> str:
    """Returns a table of errors, differences to the first row, and times of a step."""
    if not lines:
        return ""
    base = error_percent(lines[0])
    out = [
        f"\n## {title}\n",
        f"| {lines[0]['part']} | test error, % | difference to the first | p | time of a step |",
        "|---|---|---|---|---|",
    ]
    for line in lines:
        error = error_percent(line)
        difference, p = ("-", "-") if line is lines[0] else paired_texts(error, base, sample_deviation)
        out.append(
            f"| {line['arm']} | {mean_text(error, sample_deviation)} | {difference} | {p} | {line['ratio']:.2f} |"
        )
    return "\n".join(out) + "\n"


def width_table(lines: Lines) -> str:
    """Returns the spreads of the receptive fields, and the widths of the Gaussians as they were learned."""
    out = [
        "\n| convolution | spread of the receptive field before training, pixels | after it | "
        "sigma, least to most of the layers |",
        "|---|---|---|---|",
    ]
    for line in lines:
        sigmas = [value for run in line["sigmas"] for value in run.values()]
        said = f"{min(sigmas):.2f} to {max(sigmas):.2f}" if sigmas else "-"
        spreads = (mean_text(np.array(line[name]), sample_deviation) for name in ("initial spreads", "spreads"))
        out.append(f"| {line['arm']} | {' | '.join(spreads)} | {said} |")
    return "\n".join(out) + "\n"


def shot_table(lines: Lines, title: str) -> str:
    """Returns the errors on a long tail, as a whole and by the number of training examples of a class."""
    out = [f"\n## {title}\n", "| classifier | stage | all classes | many | medium | few |", "|---|---|---|---|---|---|"]
    for line in lines:
        for stage in ("first stage", "second stage"):
            errors = [
                "-"
                if None in line[stage][name]
                else mean_text(100 * (1 - np.array(line[stage][name])), sample_deviation)
                for name in SHOTS
            ]
            out.append(f"| {line['arm']} | {stage} | {' | '.join(errors)} |")
    return "\n".join(out) + "\n"


def page(lines: Lines, picture: str) -> str:
    """Returns the Markdown page."""
    tables = ""
    for title in dict.fromkeys(line["title"] for line in lines):
        here = [line for line in lines if line["title"] == title]
        if here[0]["part"] == "long tail":
            tables += shot_table(here, title)
            continue
        tables += error_table(here, title)
        if here[0]["part"] == "convolution":
            tables += width_table(here)
    drawn = any(line["part"] == "convolution" for line in lines)
    seeds = sorted({line["seeds"] for line in lines})
    rates = " or ".join(map(str, sorted({line["learning_rate"] for line in lines})))
    return f"""# Layers of a prior model

Written by `python -m experiments.studies.priors --data-dir DIR` from the lines of [priors.jsonl](priors.jsonl). Test error of
the last epoch, mean ± sample deviation over {" or ".join(map(str, seeds))} seeds, which fix images, weights and order;
differences seed by seed, with the p value of the paired t test (unadjusted). Times of a step are measured in turns in
one process, in units of the first row. Crop and flip, SGD with Nesterov momentum 0.9, cosine rate from {rates}, weight
decay 5e-4 on kernels, batch {BATCH_SIZE}.
{tables}{f"{chr(10)}![Learned widths and receptive fields]({picture}){chr(10)}" if drawn else ""}
```sh
{chr(10).join(sorted({line["command"] for line in lines}))}
```

{"; ".join(sorted({environment_in_words(line) for line in lines}))}.
"""


def draw(lines: Lines, path: pathlib.Path) -> None:
    """Draws widths and receptive fields of the convolutions that the lines are of, table under table."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    titles = list(dict.fromkeys(line["title"] for line in lines))
    figure: Any = Figure(figsize=(11, 6.5 * len(titles)), layout="constrained")
    for title, sheet in zip(titles, figure.subfigures(len(titles), 1, squeeze=False).flat, strict=True):
        _draw_table([line for line in lines if line["title"] == title], sheet)
        sheet.suptitle(title)
    FigureCanvasAgg(figure).print_png(str(path))


def _draw_table(lines: Lines, sheet: Any) -> None:
    """Draws the widths of each arm, layer by layer, and under them its receptive field."""
    upper, lower = sheet.subfigures(2, 1)
    axes = upper.subplots()
    for line in lines:
        names = list(line["sigmas"][0])
        if not names:
            continue
        values = np.array([[run[name] for name in names] for run in line["sigmas"]])
        axes.errorbar(names, values.mean(axis=0), values.std(axis=0), marker="o", capsize=3, label=line["arm"])
    axes.set_ylabel("learned sigma, pixels")
    axes.tick_params(axis="x", rotation=60, labelsize="x-small")
    axes.grid(alpha=0.3)
    if axes.containers:
        axes.legend(fontsize="small")
    panels = np.atleast_1d(lower.subplots(1, len(lines)))
    for panel, line in zip(panels, lines, strict=True):
        panel.imshow(np.sqrt(np.array(line["field"])), cmap="viridis", vmin=0, vmax=1)
        panel.set_title(line["arm"], fontsize="small")
        panel.set_axis_off()
    lower.suptitle("effective receptive field of the center of stage 2 (root of the mean gradient)", fontsize="small")
