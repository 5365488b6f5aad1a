"""The page of a study: tables, pictures and the footer, made from its lines."""

import pathlib
import re
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from experiments.run.directory import replace_text
from experiments.run.provenance import environment_in_words
from experiments.studies.combinations import additivity, factorial
from experiments.studies.markdown import markdown_table
from experiments.studies.recipe import PLACE_WORDS
from experiments.studies.statistics import difference_texts, mean_text
from experiments.studies.study import SCALES, SOURCE_MARKS, Arm, DataPaths, Line, Lines, PublishedError, Study
from experiments.studies.verdict import unpublished_text, verdicts_text
from experiments.studies.view import BlockView, block_views

DIFFERENCES = "differences.png"


class Column(NamedTuple):
    """A column of a block's table; it is left out where every cell is "-"."""

    header: str
    cell: Callable[[BlockView, Arm], str]


def metric(name: str, header: str, *, digits: int = 2, compared: bool = False) -> Column:
    """Returns the column of a metric, mean ± standard deviation, with the difference to the first arm if compared."""

    def cell(view: BlockView, arm: Arm) -> str:
        values = view.values(arm.name, name)
        if values is None:
            return "-"
        difference, p = difference_texts(view.difference(arm, name), digits) if compared else ("-", "-")
        return mean_text(values, digits=digits) + (f" ({difference}, p {p})" if difference != "-" else "")

    return Column(header, cell)


def published_text(error: PublishedError | None) -> str:
    """Returns a published error, with the mark of a source that is not the paper itself."""
    if error is None:
        return "-"
    spread = "" if error.standard_deviation is None else f" ± {error.standard_deviation:.2f}"
    return f"{error.value:.2f}{spread}{'' if error.mark == 'S' else f' [{error.mark}]'}"


def relative_time(view: BlockView, arm: Arm) -> str:
    """Returns the time of a training example relative to the first arm."""
    metrics, base = (view.lines.get(one.name, {}).get("metrics", {}) for one in (arm, view.block.arms[0]))
    if "step_ratio" in metrics:
        return f"{metrics['step_ratio']:.2f}"
    speed, base_speed = metrics.get("examples_per_second"), base.get("examples_per_second")
    return f"{base_speed / speed:.2f}" if speed and base_speed else "-"


def minutes(view: BlockView, arm: Arm) -> str:
    """Returns the mean duration of a run."""
    line = view.lines[arm.name]
    return f"{sum(line['seconds']) / line['seeds'] / 60:.1f}" if line["seconds"] else "-"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


COLUMNS = (
    Column("paper, %", lambda view, arm: published_text(arm.published)),
    Column("test error, %", lambda view, arm: mean_text(view.errors(arm))),
    Column("recorded, %", lambda view, arm: view.recorded_text(arm)),
    Column("difference: paper", lambda view, arm: _signed(view.published_difference(arm))),
    Column("difference", lambda view, arm: difference_texts(view.difference(arm))[0]),
    Column("p", lambda view, arm: difference_texts(view.difference(arm))[1]),
    Column("seeds", lambda view, arm: str(view.lines[arm.name]["seeds"])),
    metric("train_loss", "training loss", digits=3),
    Column("relative time", relative_time),
    Column("minutes of a run", minutes),
)


def block_table(view: BlockView) -> str:
    """Returns the Markdown table of a block."""
    columns = [(column, [column.cell(view, arm) for arm in view.arms]) for column in (*COLUMNS, *view.block.columns)]
    shown = [(column, cells) for column, cells in columns if any(cell != "-" for cell in cells)]
    names = [arm.name for arm in view.arms]
    rows = zip(names, *(cells for _, cells in shown), strict=True)
    return markdown_table(["arm", *(column.header for column, _ in shown)], rows)


def block_text(view: BlockView) -> str:
    """Returns all that a page says about a block."""
    setup = "; ".join(dict.fromkeys(line["setup"] for line in view.lines.values()))
    parts = [f"### {view.block.name}", filled(f"{setup}.")]
    if view.study.block_text is not None:
        parts += [view.study.block_text(line) for line in view.lines.values()]
    else:
        parts += [block_table(view), filled(unpublished_text(view)), additivity(view), factorial(view)]
    return "\n\n".join(filter(None, parts))


def scale_text(study: Study, lines: Lines, recorded: Lines, label: str) -> str:
    """Returns all that a page says about the lines of a scale."""
    views = block_views(study, lines, recorded, label)
    return "\n\n".join(filter(None, [f"## Scale: {label}", filled(verdicts_text(views)), *map(block_text, views)]))


def page(study: Study, lines: Lines, recorded: Lines = [], reading: str = "") -> str:  # noqa: B006
    """Returns the Markdown page.

    Args:
      study: what was asked.
      lines: what was measured.
      recorded: lines to compare with.
      reading: what the lines say, in words.
    """
    parts = [f"# {study.title}", filled(introduction(study, recorded))]
    if reading:
        parts.append(f"## Reading\n\n{reading.strip()}")
    labels = list(dict.fromkeys(line["scale"] for line in lines))
    labels.sort(key=lambda label: SCALES.index(label.split()[0]))
    parts += [scale_text(study, lines, recorded, label) for label in labels]
    parts += [f"![{file.removesuffix('.png').replace('_', ' ')}]({file})" for file in picture_files(study, lines)]
    return "\n\n".join([*parts, footer(lines)]) + "\n"


def introduction(study: Study, recorded: Lines) -> str:
    """Returns the paragraph at the top of a page."""
    published = [arm.published for block in study.blocks for arm in block.arms if arm.published]
    marks = {error.mark for error in published} - {"S"}
    parts = [
        f"{study.question} Source: {study.source}. Written by `python -m experiments.reproduce {study.name}` from the "
        "lines of [lines.jsonl](lines.jsonl).",
        "Test error after the last epoch in percent, mean ± sample standard deviation over seeds, which fix images, "
        "weights and order; differences to the first arm of a block in percentage points, paired by seed, with the p "
        "value of the paired t-test (unadjusted)."
        if study.block_text is None
        else "",
        "Only differences are compared with the paper's: re-encoded images shift all errors." if published else "",
        " ".join(f"[{mark}]: {words}." for mark, words in SOURCE_MARKS.items() if mark in marks),
        '"Recorded" is what this repository has in results/.' if recorded else "",
        study.notes,
    ]
    return " ".join(filter(None, parts))


def footer(lines: Lines) -> str:
    """Returns the commands, versions and machines behind the lines."""
    commands = "\n".join(sorted({line["command"] for line in lines}))
    named = [f"`{{{name}}}` is {words}" for name, words in PLACE_WORDS.items() if f"{{{name}}}" in commands]
    machines = sorted({provenance_in_words(line) for line in lines})
    return f"What the arms train{''.join(f'; {words}' for words in named)}:\n\n```sh\n{commands}\n```\n\n" + (
        "; ".join(machines) + "."
    )


def provenance_in_words(line: Line) -> str:
    """Returns versions, device and commit of a line."""
    return environment_in_words({**line, "devices": [line["device"]], "git_revision": line["commit"]})


def filled(text: str) -> str:
    """Returns a paragraph in lines of 120 characters, none of which ends inside of code."""
    whole = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0"), text)
    return textwrap.fill(whole, 120, break_on_hyphens=False, break_long_words=False).replace("\0", " ")


def write_page(study: Study, lines: Lines, recorded: Lines, folder: pathlib.Path) -> None:
    """Writes page.md; its section "Reading" is the file reading.md where there is one."""
    reading = folder / "reading.md"
    text = page(study, lines, recorded, reading.read_text() if reading.exists() else "")
    replace_text(folder / "page.md", text)


def picture_files(study: Study, lines: Lines) -> list[str]:
    """Returns the names of the pictures of a page."""
    return [*([DIFFERENCES] if _panels(study, lines) else []), *study.pictures]


def draw(study: Study, lines: Lines, folder: pathlib.Path, paths: DataPaths) -> None:
    """Draws the pictures of a page."""
    if _panels(study, lines):
        draw_differences(study, lines, folder / DIFFERENCES)
    for file, draw_picture in study.pictures.items():
        draw_picture(lines, folder / file, paths)


def _panels(study: Study, lines: Lines) -> list[tuple[BlockView, list[Arm]]]:
    labels = dict.fromkeys(line["scale"] for line in lines)
    views = [view for label in labels for view in block_views(study, lines, [], label)]
    compared = [(view, [arm for arm in view.arms if view.difference(arm)]) for view in views]
    return [(view, arms) for view, arms in compared if arms]


def draw_differences(study: Study, lines: Lines, path: pathlib.Path) -> None:
    """Draws our differences to the first arm and the paper's, one panel for each block and scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = _panels(study, lines)
    heights = [len(arms) + 1.5 for _, arms in panels]
    longest = max(len(arm.name) for _, arms in panels for arm in arms)
    figure: Any = Figure(figsize=(5.5 + 0.065 * longest, 0.6 + 0.3 * sum(heights)), layout="constrained")
    grid = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    any_published = False
    for axes, (view, arms) in zip(grid[:, 0], panels, strict=True):
        for place, arm in enumerate(arms):
            ours, published = cast(Any, view.difference(arm)), view.published_difference(arm)
            axes.errorbar(ours.mean, place, xerr=ours.standard_deviation, fmt="o", color="tab:blue", capsize=3)
            if published is not None:
                axes.plot(published, place, "D", color="tab:orange")
                any_published = True
        axes.axvline(0, color="gray", linewidth=0.8)
        axes.set_yticks(range(len(arms)), [arm.name for arm in arms], fontsize="small")
        axes.set_ylim(len(arms) - 0.5, -0.5)
        axes.set_title(f"{view.block.name} ({view.scale})", fontsize="small")
    grid[-1, 0].set_xlabel("difference of test errors to the first arm, percentage points")
    grid[0, 0].plot([], [], "o", color="tab:blue", label="ours ± standard deviation")
    if any_published:
        grid[0, 0].plot([], [], "D", color="tab:orange", label="paper")
    grid[0, 0].legend(fontsize="x-small")
    FigureCanvasAgg(figure).print_png(str(path))
