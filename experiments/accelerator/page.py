"""The page of the findings, from their lines alone."""

import pathlib
from collections.abc import Iterable, Sequence

from experiments.accelerator.figures import plain_figures, tables, text, words
from experiments.accelerator.findings import Line, is_finished, latest, read_lines
from experiments.accelerator.summary import error_text

_TITLES = {
    "check": "Check: the accelerator against the CPU, and the training machinery on it",
    "speed": "Speed",
    "evidence": "Evidence: networks trained on the accelerator",
}


def page(lines: Sequence[Line], reading: str = "") -> str:
    """Returns the Markdown page of all findings: a section per device and scale, a table per kind of finding.

    Args:
      lines: the findings.
      reading: what they say, in words.
    """
    parts = ["# On an accelerator"]
    if reading:
        parts.append(f"## Reading\n\n{reading.strip()}")
    parts.append(
        "The tables are made from `findings.jsonl` next to this page. Where an item ran several times, the last "
        "finished run counts."
    )
    current = list(latest(lines).values())
    for device, scale in dict.fromkeys((line["device_kind"], line["scale"]) for line in current):
        chosen = [line for line in current if (line["device_kind"], line["scale"]) == (device, scale)]
        parts += [f"## {device}, scale {scale}", *provenance_text(chosen)]
        for stage in dict.fromkeys(line["stage"] for line in chosen):
            parts += [f"### {_TITLES.get(stage, stage)}", *stage_parts([x for x in chosen if x["stage"] == stage])]
    return "\n\n".join(parts) + "\n"


def folder_page(folder: pathlib.Path) -> str:
    """Returns the page of a folder: of its findings.jsonl, and of its reading.md where there is one."""
    reading = folder / "reading.md"
    return page(read_lines(folder / "findings.jsonl"), reading.read_text() if reading.exists() else "")


def provenance_text(lines: Sequence[Line]) -> list[str]:
    """Returns commands, versions, commits and days of the lines."""
    commands = dict.fromkeys(line["command"] for line in lines)
    stacks = dict.fromkeys(", ".join(f"{name} {v}" for name, v in line["versions"].items()) for line in lines)
    commits = dict.fromkeys((line["git_commit"] or "unknown")[:10] for line in lines)
    days = sorted({line["time"][:10] for line in lines})
    cpus = sorted({line["cpus"] for line in lines})
    return [
        "```\n" + "\n".join(commands) + "\n```",
        f"On {', '.join(days)}, with {' or '.join(map(str, cpus))} CPU cores; commit {', '.join(commits)}; "
        f"{'; '.join(stacks)}.",
    ]


def stage_parts(lines: Sequence[Line]) -> list[str]:
    """Returns the tables of a stage: one for all findings with the same figures, then those inside the findings."""
    finished = [line for line in lines if is_finished(line) and line["result"]]
    groups: dict[tuple[tuple[str, ...], ...], list[Line]] = {}
    for line in finished:
        groups.setdefault((tuple(line["settings"]), tuple(plain_figures(line["result"]))), []).append(line)
    parts = [part for group in groups.values() for part in group_parts(group)]
    parts += [part for line in finished for part in inner_tables(line)]
    if failed := [line for line in lines if not is_finished(line)]:
        parts.append("Failed:")
        parts.append("\n".join(f"- {line['name']}: {error_text(line)}" for line in failed))
        parts += [part for line in failed if "result" in line for part in inner_tables(line)]
    return parts


def group_parts(group: Sequence[Line]) -> list[str]:
    """Returns the table of findings that have the same settings and figures, and the settings they all share."""
    settings = [plain_figures(line["settings"]) for line in group]
    shared = {name: value for name, value in settings[0].items() if all(s[name] == value for s in settings)}
    varied = [name for name in settings[0] if name not in shared]
    figures = list(plain_figures(group[0]["result"]))
    rows = [["item", *map(words, (*varied, *figures)), "seconds", "compiling, all threads"]]
    for line, setting in zip(group, settings, strict=True):
        found = plain_figures(line["result"])
        times = [text(float(line[name])) for name in ("seconds", "compile_seconds")]
        rows.append([line["name"], *(setting[n] for n in varied), *(found[n] for n in figures), *times])
    told = ", ".join(f"{words(name)} {value}" for name, value in shared.items())
    return [markdown(rows), *([f"All with {told}."] if told else [])]


def inner_tables(line: Line) -> list[str]:
    """Returns the tables inside a finding, each under its name."""
    found = tables(line["result"])
    return [part for name, rows in found.items() for part in (f"{line['name']}, {words(name)}:", markdown(rows))]


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Returns a Markdown table of a header and rows."""
    header, *body = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
