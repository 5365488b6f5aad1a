"""Measures the arms of a study that are not recorded yet, and rewrites lines, page and pictures after each."""

import dataclasses
import pathlib
import shlex
import sys
import time
from collections.abc import Sequence

from experiments.studies import report
from experiments.studies.jsonl import read_jsonl, write_jsonl
from experiments.studies.recipe import arm_options, data_options, resolve
from experiments.studies.study import (
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


@dataclasses.dataclass(frozen=True)
class Options:
    """How much of a study is run, and where."""

    scale: Scale = "cpu"
    """full: the paper's recipe; gpu10: ten minutes of a GPU for an arm; cpu: about an hour of two cores for a study."""
    data_dir: pathlib.Path | None = None
    """Where TFDS sets are."""
    tiny_imagenet: pathlib.Path | None = None
    """A folder with train and val of some classes of Tiny ImageNet, which stand for ImageNet below scale full."""
    seeds: int | None = None
    """Seeds of every arm; None takes the scale's. Arms with fewer are run with those they lack."""
    blocks: tuple[str, ...] = ()
    """Run only these blocks of the study."""
    runs: pathlib.Path = pathlib.Path("runs/reproduce")
    """Where runs of experiments.train are kept; those that several studies need are done once."""
    results: pathlib.Path = pathlib.Path("runs/studies")
    """Lines, page and pictures are in NAME here."""


def missing_jobs(study: Study, options: Options, extra: Sequence[str], lines: Lines) -> list[Job]:
    """Returns the arms that are not recorded with as many seeds as asked for.

    Args:
      study: of the arms.
      options: how much of it is run.
      extra: options of `experiments.train` that replace those of every arm.
      lines: what is recorded at this scale, with these options.

    Raises:
      ValueError: the study has no such scale or block, or `experiments.train` does not understand a recipe.
    """
    if options.scale not in study.scales_used():
        raise ValueError(f"{study.name} has --scale {' or '.join(study.scales_used())}; got {options.scale}.")
    blocks = study.blocks_at(options.scale)
    for name in options.blocks:
        if name not in [block.name for block in blocks]:
            raise ValueError(f"--blocks takes some of {', '.join(block.name for block in blocks)}; got {name}.")
    recorded = {arm_key(line)[1:]: line["seeds"] for line in lines}
    paths, jobs = DataPaths(options.data_dir, options.tiny_imagenet), []
    for block in blocks:
        seeds = options.seeds or study.overrides(block, options.scale).seeds
        for arm in block.arms:
            if (options.blocks and block.name not in options.blocks) or recorded.get(
                (block.name, arm.name), 0
            ) >= seeds:
                continue
            recipe = arm_options(study, block, arm, options.scale, extra)
            jobs.append(Job(study, block, arm, options.scale, recipe, seeds, paths, options.runs, extra=tuple(extra)))
    return jobs


def run_missing(study: Study, options: Options, extra: Sequence[str] = ()) -> int:
    """Measures what is missing, and returns the exit status; the same command resumes what was interrupted."""
    folder = options.results / study.name
    path, label = folder / "lines.jsonl", " ".join([options.scale, *([shlex.join(extra)] if extra else [])])
    lines = read_jsonl(path)
    jobs = missing_jobs(study, options, extra, [line for line in lines if line["scale"] == label])
    if any("{policy}" in job.options for job in jobs):
        from experiments.studies.papers.searched_policy import searched_policy

        policy = searched_policy(options.data_dir, options.scale, options.runs)
        jobs = [job._replace(paths=job.paths._replace(policy=policy)) for job in jobs]
    for job in jobs:
        resolve(job.options, job.paths)
    asked = sum(len(block.arms) for block in study.blocks_at(options.scale))
    print(f"{study.name}, scale {label}: {len(jobs)} of {asked} arms to run; results in {folder}.", flush=True)
    paths = DataPaths(options.data_dir, options.tiny_imagenet)
    if lines:
        write_results(study, lines, folder, paths)
    began, done, total = time.monotonic(), 0, sum(job.seeds for job in jobs)
    for place, job in enumerate(jobs):
        left = f", about {(time.monotonic() - began) / done * (total - done) / 60:.0f} min left" if done else ""
        title = f"[{place + 1}/{len(jobs)}{left}] {job.block.name}, {job.arm.name}"
        here = [line for line in lines if line["scale"] == label]
        job = job._replace(lines=here, announce=lambda text, title=title: print(f"{title}: {text}", flush=True))
        try:
            measured = (job.block.measure or train_runs)(job)
        except (RunStoppedError, KeyboardInterrupt) as stopped:
            print(f"Stopped; {len(lines)} arms are in {path}. The same command resumes.", file=sys.stderr)
            return stopped.status if isinstance(stopped, RunStoppedError) else 130
        lines = with_line(read_jsonl(path), make_line(job, label, measured, data_options(job.options)))
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
