"""What a study is, what one of its arms is measured with, and the line that is recorded of it."""

import pathlib
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

Line = dict[str, Any]
Lines = list[Line]

Scale = Literal["full", "gpu10", "cpu"]
SCALES: tuple[Scale, ...] = ("full", "gpu10", "cpu")

SourceMark = Literal["S", "C", "W"]
SOURCE_MARKS: dict[SourceMark, str] = {
    "S": "the authors' own figures",
    "C": "printed next to the authors' code",
    "W": "second-hand, from a summary of the paper",
}

LINE_FIELDS = (
    "study", "scale", "block", "arm", "setup", "command", "data", "seeds", "errors", "metrics", "seconds",
    "commit", "versions", "python", "device", "cpus",
)  # fmt: skip
"""The fields of every recorded line.

Strings: study, scale, block, arm; setup, what was trained, in words; command of `experiments.train` that trains one
seed, without the seed and with names in braces for the places of a machine; commit; python; device. data: the options
of the dataset that are not at their defaults. seeds: how many. errors: test errors in percent, one per seed, None where
training diverged. metrics: everything else that was measured, lists with one entry per seed unless the study says
otherwise. seconds: of training, one entry per seed or one for all seeds together. versions: of packages. cpus: cores.
"""


class PublishedError(NamedTuple):
    """A published test error in percent."""

    value: float
    standard_deviation: float | None = None
    mark: SourceMark = "S"


class Arm(NamedTuple):
    """One row of a study: a recipe, as options of `experiments.train`."""

    name: str
    options: tuple[str, ...] = ()
    augment: tuple[str, ...] = ()
    """Augmentations after those of the recipe; {half} stands for half the side of the images."""
    published: PublishedError | None = None
    parts: tuple[str, ...] = ()
    """Names of the arms that this one combines."""


class ScaleOverrides(NamedTuple):
    """How a scale shortens the recipe of a study; its arms and the differences it asks about stay."""

    epochs: int | None = None
    """Length of a run, with milestones and warm-up in proportion; None keeps the recipe's."""
    seeds: int = 3
    options: tuple[str, ...] = ()
    """Of `experiments.train`, for all blocks. {tiny_imagenet} stands for the folder of 30 classes of Tiny ImageNet."""
    models: Mapping[str, str] = {}
    """Another network, by block."""
    blocks: tuple[str, ...] | None = None
    """The blocks that are run; None runs all."""
    augment: tuple[str, ...] | None = None
    """Replaces the recipe's augmentations."""
    side: int | None = None
    """Of the images, where it is not the block's."""
    setup: str = "the paper's recipe"
    """In words."""


class Block(NamedTuple):
    """Rows that are compared with their first, on one dataset."""

    name: str
    config: str
    """Name of the config in `experiments.configs` that the recipe starts from."""
    arms: tuple[Arm, ...]
    options: tuple[str, ...] = ()
    """Of `experiments.train`, the same for all arms."""
    side: int = 32
    """Of the images, in pixels."""
    scales: Mapping[Scale, ScaleOverrides] | None = None
    """The scales at which the block is run, where they are not those of the study."""
    measure: "Measure | None" = None
    """Measures an arm; None trains every seed with `experiments.train`."""
    columns: tuple[Any, ...] = ()
    """More columns of the block's table, `report.Column`s."""


class Study(NamedTuple):
    """A question, and the arms that answer it."""

    name: str
    title: str
    question: str
    source: str
    blocks: tuple[Block, ...]
    scales: Mapping[Scale, ScaleOverrides]
    second_stage: bool = False
    """Whether a new classifier is trained on the features of each run, every class equally often, and counts."""
    notes: str = ""
    """What a reader of the page needs to know."""
    block_text: Callable[[Line], str] | None = None
    """Replaces the table of a block: the text of each of its lines."""
    pictures: Mapping[str, Callable[[Lines, pathlib.Path, "DataPaths"], None]] = {}
    """Functions that draw a picture of the lines, by file name."""

    def overrides(self, block: Block, scale: Scale) -> ScaleOverrides:
        """Returns how a scale shortens the recipe of a block."""
        return (block.scales or self.scales)[scale]

    def blocks_at(self, scale: Scale) -> list[Block]:
        """Returns the blocks that are run at a scale."""
        kept = self.scales[scale].blocks if scale in self.scales else ()
        return [
            block
            for block in self.blocks
            if (scale in block.scales if block.scales is not None else kept is None or block.name in kept)
        ]

    def scales_used(self) -> list[Scale]:
        """Returns the scales at which the study has blocks."""
        return [scale for scale in SCALES if self.blocks_at(scale)]


class DataPaths(NamedTuple):
    """Where this machine has the data, and the policy that a search found."""

    data_dir: pathlib.Path | None = None
    tiny_imagenet: pathlib.Path | None = None
    policy: pathlib.Path | None = None


class Job(NamedTuple):
    """An arm to be measured."""

    study: Study
    block: Block
    arm: Arm
    scale: Scale
    options: list[str]
    """Of `experiments.train`, without seed and places: the same on every machine."""
    seeds: int
    paths: DataPaths = DataPaths()
    runs: pathlib.Path = pathlib.Path("runs/reproduce")
    """Where runs of `experiments.train` are kept."""
    lines: Lines = []  # noqa: RUF012
    """What is recorded of the study at this scale."""
    extra: tuple[str, ...] = ()
    """The options among these that the user gave, which replace those of the recipe."""
    announce: Callable[[str], None] = print
    """Is told what starts."""


class Measured(NamedTuple):
    """What a job gave; see `LINE_FIELDS`."""

    errors: list[float | None]
    metrics: dict[str, Any]
    seconds: list[float]
    environment: dict[str, Any] | None = None
    """Of the runs; None for that of this process."""
    options: list[str] | None = None
    """Of `experiments.train`, where they are not those of the job."""


Measure = Callable[[Job], Measured]


class RunStoppedError(Exception):
    """A run ended early, for the reason it has printed; the status is that of the process."""

    def __init__(self, status: int):
        super().__init__(f"a run ended with status {status}")
        self.status = status


def make_line(job: Job, scale: str, measured: Measured, data: dict[str, Any]) -> Line:
    """Returns the line of a measured arm; `scale` may name overrides after the scale."""
    from experiments.run.provenance import environment

    return {
        "study": job.study.name,
        "scale": scale,
        "block": job.block.name,
        "arm": job.arm.name,
        "setup": job.study.overrides(job.block, job.scale).setup,
        "command": train_command(measured.options or job.options),
        "data": data,
        "seeds": job.seeds,
        "errors": measured.errors,
        "metrics": measured.metrics,
        "seconds": measured.seconds,
        **provenance(measured.environment or environment()),
    }


def train_command(options: list[str]) -> str:
    """Returns the command that trains an arm, as one would type it."""
    return f"python -m experiments.train {shlex.join(options)}"


def provenance(environment: dict[str, Any]) -> dict[str, Any]:
    """Returns what a line says about the code and the machine."""
    kinds = environment["devices"]
    return {
        "commit": environment["git_revision"],
        "versions": environment["versions"],
        "python": environment["python"],
        "device": kinds[0] if len(kinds) == 1 else f"{len(kinds)} x {kinds[0]}",
        "cpus": environment["cpus"],
    }


def arm_key(line: Line) -> tuple[str, str, str]:
    """Returns what distinguishes the arms of a study."""
    return line["scale"], line["block"], line["arm"]


def with_line(lines: Lines, line: Line) -> Lines:
    """Returns the lines with one more, or with the line of the same arm replaced."""
    if arm_key(line) in map(arm_key, lines):
        return [line if arm_key(old) == arm_key(line) else old for old in lines]
    return [*lines, line]
