"""Measures the arms of a study that are not recorded yet, and rewrites lines, page and pictures after each."""

import pathlib
import sys
import time
from typing import NamedTuple

from experiments.studies import report
from experiments.studies.jsonl import read_jsonl, write_jsonl
from experiments.studies.recipe import arm_options, data_options, resolve
from experiments.studies.study import (
    Arm,
    Block,
    DataPaths,
    Job,
    Lines,
    RunStoppedError,
    Scale,
    Study,
    arm_key,
    make_line,
    with_line,
)
from experiments.studies.train_runs import train_runs

RECORDED = pathlib.Path(__file__).parents[2] / "results"
"""Where this repository keeps its own lines."""


class Options(NamedTuple):
    """How much of a study is run, and where."""

    scale: Scale = "cpu"
    seeds: int | None = None
    """None takes the scale's."""
    blocks: tuple[str, ...] = ()
    """None but these; () takes all."""
    extra: tuple[str, ...] = ()
    """Options of `experiments.train` that replace those of every arm."""
    paths: DataPaths = DataPaths()
    runs: pathlib.Path = pathlib.Path("runs/reproduce")
    results: pathlib.Path = pathlib.Path("runs/studies")
    """Lines, page and pictures are written to the folder of the study's name in it."""


def scale_label(options: Options) -> str:
    """Returns the scale as lines have it: with the options that replace those of the recipe."""
    return " ".join([options.scale, *options.extra])


def missing_jobs(study: Study, options: Options, lines: Lines) -> list[Job]:
    """Returns the arms that are not recorded with as many seeds as asked for.

    Raises:
      ValueError: the study has no such scale or block, or `experiments.train` does not understand a recipe.
    """
    if options.scale not in study.scales_used():
        raise ValueError(f"{study.name} has --scale {' or '.join(study.scales_used())}; got {options.scale}.")
    blocks = study.blocks_at(options.scale)
    for name in options.blocks:
        if name not in [block.name for block in blocks]:
            raise ValueError(f"--blocks takes some of {', '.join(block.name for block in blocks)}; got {name}.")
    recorded = {arm_key(line): line["seeds"] for line in lines}
    found = []
    for block in blocks:
        seeds = options.seeds or study.overrides(block, options.scale).seeds
        for arm in block.arms:
            key = scale_label(options), block.name, arm.name
            if (options.blocks and block.name not in options.blocks) or recorded.get(key, 0) >= seeds:
                continue
            found.append(_job(study, block, arm, seeds, options))
    return found


def _job(study: Study, block: Block, arm: Arm, seeds: int, options: Options) -> Job:
    recipe = arm_options(study, block, arm, options.scale, options.extra)
    return Job(study, block, arm, options.scale, recipe, seeds, options.paths, options.runs, extra=options.extra)


def run_missing(study: Study, options: Options) -> int:
    """Measures what is missing, and returns the exit status; the same command resumes what was interrupted."""
    folder = options.results / study.name
    path, label = folder / "lines.jsonl", scale_label(options)
    lines = read_jsonl(path)
    jobs = missing_jobs(study, options, lines)
    paths = options.paths
    if any("{policy}" in job.options for job in jobs):
        from experiments.studies.papers.searched import searched_policy

        paths = paths._replace(policy=searched_policy(paths.data_dir, options.scale, options.runs))
    for job in jobs:
        resolve(job.options, paths)
    asked = [arm for block in study.blocks_at(options.scale) for arm in block.arms]
    print(f"{study.name}, scale {label}: {len(jobs)} of {len(asked)} arms to run; results in {folder}.", flush=True)
    if lines:
        write_results(study, lines, folder, paths)
    began, done, total = time.monotonic(), 0, sum(job.seeds for job in jobs)
    for place, job in enumerate(jobs):
        left = f", about {(time.monotonic() - began) / done * (total - done) / 60:.0f} min left" if done else ""
        title = f"[{place + 1}/{len(jobs)}{left}] {job.block.name}, {job.arm.name}"
        here = [line for line in lines if line["scale"] == label]
        job = job._replace(paths=paths, lines=here, announce=lambda text, t=title: print(f"{t}: {text}", flush=True))
        try:
            measured = (job.block.measure or train_runs)(job)
        except (RunStoppedError, KeyboardInterrupt) as stopped:
            print(f"Stopped; {len(lines)} arms are in {path}. The same command resumes.", file=sys.stderr)
            return stopped.status if isinstance(stopped, RunStoppedError) else 130
        line = make_line(job, label, measured, data_options(job.options))
        lines = with_line(read_jsonl(path), line)
        write_results(study, lines, folder, paths)
        done += job.seeds
    shown = [line for line in lines if line["scale"] == label]
    print(report.scale_text(study, shown, recorded_lines(study, folder), label))
    print(f"{folder / 'page.md'} has the page.")
    return 0


def recorded_lines(study: Study, folder: pathlib.Path) -> Lines:
    """Returns this repository's lines of a study, none where `folder` is where they are kept."""
    kept = RECORDED / study.name
    return [] if folder.resolve() == kept.resolve() else read_jsonl(kept / "lines.jsonl")


def write_results(study: Study, lines: Lines, folder: pathlib.Path, paths: DataPaths) -> None:
    """Writes lines, pictures and page; the page is made from lines and, where there is one, reading.md."""
    write_jsonl(folder / "lines.jsonl", lines)
    report.draw(study, lines, folder, paths)
    report.write_page(study, lines, recorded_lines(study, folder), folder)
