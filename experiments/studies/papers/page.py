"""The page and the picture of a table, made of the lines of its finished arms alone."""

import pathlib
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.run.directory import environment_in_words
from experiments.studies.jsonl import sample_deviation
from experiments.studies.markdown import markdown_table, mean_of
from experiments.studies.papers.additivity import additivity
from experiments.studies.papers.factorial import factorial
from experiments.studies.papers.lines import Lines, difference, difference_texts, line_of
from experiments.studies.papers.recipe import PLACE_WORDS
from experiments.studies.papers.table import MARKS, SCALES, Arm, Block, Figure, Scale, Table
from experiments.studies.papers.verdict import LEVEL, Direction, Verdict, direction, verdict

HEADER = (
    "arm", "paper, %", "ours, %", "difference: paper", "ours", "p", "seeds", "time of an example", "minutes of a run",
)  # fmt: skip


def printed_difference(block: Block, arm: Arm) -> float | None:
    """Returns the difference of errors that the paper prints, None where it prints none."""
    base = block.arms[0].figure
    return None if arm.figure is None or base is None or arm is block.arms[0] else arm.figure.value - base.value


def block_table(lines: Lines, scale: Scale, block: Block) -> str:
    """Returns the Markdown table of a block: the paper's figures beside ours."""
    base = line_of(lines, scale, block, block.arms[0])
    rows = []
    for arm in block.arms:
        line = line_of(lines, scale, block, arm)
        if line is None:
            continue
        printed, ours = printed_difference(block, arm), difference(lines, scale, block, arm)
        rows.append(
            [
                arm.name,
                printed_text(arm.figure),
                mean_of(np.array(line["errors"]), sample_deviation),
                "-" if printed is None else f"{printed:+.2f}",
                *difference_texts(ours),
                str(len(line["errors"])),
                cost_text(line, base),
                f"{np.mean(line['seconds']) / 60:.1f}" if line.get("seconds") else "-",
            ]
        )
        for name, errors in line.get("shots", {}).items():
            ours_text = mean_of(np.array(errors), sample_deviation)
            rows.append([f"{arm.name}, {name.replace('_', '-')} classes", "-", ours_text, *["-"] * 6])
    return markdown_table(HEADER, rows)


def printed_text(figure: Figure | None) -> str:
    """Returns an error as it is printed, with the mark of a source that is not the paper's own."""
    if figure is None:
        return "-"
    deviation = "" if figure.deviation is None else f" ± {figure.deviation:.2f}"
    return f"{figure.value:.2f}{deviation}{'' if figure.mark == 'S' else f' [{figure.mark}]'}"


def cost_text(line: dict[str, Any], base: dict[str, Any] | None) -> str:
    """Returns the time of a training example to that of the block's first arm."""
    if line.get("ratio") is not None:
        return f"{line['ratio']:.2f}"
    if base is None or not line.get("examples_per_second") or not base.get("examples_per_second"):
        return "-"
    return f"{base['examples_per_second'] / line['examples_per_second']:.2f}"


def reading(lines: Lines, scale: Scale, table: Table) -> str:
    """Returns a sentence on what the finished arms confirm, contradict or leave undecided."""
    found: dict[Verdict, list[str]] = {"confirmed": [], "contradicted": [], "undecided": []}
    blocks = table.blocks_at(scale)
    for block in blocks:
        where = f" ({block.name})" if len(blocks) > 1 else ""
        for arm in block.arms:
            printed, ours = printed_difference(block, arm), difference(lines, scale, block, arm)
            if printed is not None and ours is not None:
                found[verdict(ours, printed)].append(f"{arm.name}{where}")
    if not any(found.values()):
        return "The source prints no differences that these arms could confirm or contradict."
    return f"Of the printed differences, at this scale and p < {LEVEL}, {listed(found)}."


def unprinted(lines: Lines, scale: Scale, block: Block) -> str:
    """Returns a sentence on the arms whose difference the source does not print, nothing where there are none."""
    found: dict[Direction, list[str]] = {"less error": [], "more error": [], "undecided": []}
    for arm in block.arms:
        ours = difference(lines, scale, block, arm)
        if ours is not None and printed_difference(block, arm) is None:
            found[direction(ours)].append(arm.name)
    if not any(found.values()):
        return ""
    return f"Differences to the first arm that the source does not print, at p < {LEVEL}: {listed(found)}."


def listed(found: Mapping[Any, list[str]]) -> str:
    """Returns what was found of which arms."""
    return "; ".join(f"{name}: {', '.join(arms)}" for name, arms in found.items() if arms)


def page(table: Table, lines: Lines) -> str:
    """Returns the Markdown page of all scales that have lines."""
    marks = {arm.figure.mark for block in table.blocks for arm in block.arms if arm.figure} - {"S"}
    about = (
        f"{table.question} Source: {table.source}. Written by `python -m experiments.reproduce {table.name}` from the "
        f"lines of [{table.name}.jsonl]({table.name}.jsonl). Test error of the last epoch in percent, mean ± sample "
        "deviation over seeds; differences to the first arm of a block in percentage points, seed by seed, with the p "
        "value of the paired t test (unadjusted). Our images are what the data directory has; JPEG re-encodings shift "
        "all errors, so only differences are compared with the paper's."
        + "".join(f" [{mark}]: {words}." for mark, words in MARKS.items() if mark in marks)
    )
    parts = [f"# {table.title}", textwrap.fill(about, 120, break_on_hyphens=False)]
    for scale in SCALES:
        if not any(line["scale"] == scale for line in lines):
            continue
        parts.append(f"## Scale: {scale}\n\n{textwrap.fill(reading(lines, scale, table), 120, break_on_hyphens=False)}")
        for block in table.blocks_at(scale):
            here = [line for line in lines if (line["scale"], line["block"]) == (scale, block.name)]
            if here:
                about = "; ".join(dict.fromkeys(line["about"] for line in here))
                parts.append(f"### {block.name}\n\n{about}.\n\n{block_table(lines, scale, block)}")
                parts.append(textwrap.fill(unprinted(lines, scale, block), 120, break_on_hyphens=False))
                parts += [additivity(lines, scale, block), factorial(lines, scale, block)]
    parts.append(f"![Differences to the first arm]({table.name}.png)")
    commands = "\n".join(sorted({line["command"] for line in lines}))
    named = [f"`{{{name}}}` is {words}" for name, words in PLACE_WORDS.items() if f"{{{name}}}" in commands]
    parts.append(f"What the arms train{''.join(f'; {words}' for words in named)}:")
    parts.append(f"```sh\n{commands}\n```")
    parts.append("; ".join(sorted({environment_in_words(line) for line in lines})) + ".")
    return "\n\n".join(filter(None, parts)) + "\n"


def draw(table: Table, lines: Lines, path: pathlib.Path) -> None:
    """Draws our differences with their seeds, and the paper's, a panel for each block and scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    panels, any_printed = [], False
    for scale in SCALES:
        for block in table.blocks_at(scale):
            found = [(arm, difference(lines, scale, block, arm)) for arm in block.arms]
            if any(ours for _, ours in found):
                panels.append((scale, block, [(arm, ours) for arm, ours in found if ours]))
    heights = [len(found) + 1.5 for *_, found in panels]
    longest = max((len(arm.name) for *_, found in panels for arm, _ in found), default=0)
    drawing: Any = Drawing(figsize=(5.5 + 0.065 * longest, 0.6 + 0.3 * max(1, sum(heights))), layout="constrained")
    if panels:
        grid = drawing.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
        for axes, (scale, block, found) in zip(grid[:, 0], panels, strict=True):
            for place, (arm, ours) in enumerate(found):
                axes.errorbar(ours.mean, place, xerr=ours.deviation, fmt="o", color="tab:blue", capsize=3)
                printed = printed_difference(block, arm)
                if printed is not None:
                    axes.plot(printed, place, "D", color="tab:orange")
                    any_printed = True
            axes.axvline(0, color="gray", linewidth=0.8)
            axes.set_yticks(range(len(found)), [arm.name for arm, _ in found], fontsize="small")
            axes.set_ylim(len(found) - 0.5, -0.5)
            axes.set_title(f"{block.name} ({scale})", fontsize="small")
        grid[-1, 0].set_xlabel("difference of test errors to the first arm, percentage points")
        grid[0, 0].plot([], [], "o", color="tab:blue", label="ours ± deviation")
        if any_printed:
            grid[0, 0].plot([], [], "D", color="tab:orange", label="paper")
        grid[0, 0].legend(fontsize="x-small")
    FigureCanvasAgg(drawing).print_png(str(path))
