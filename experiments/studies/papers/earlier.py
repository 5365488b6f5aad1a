"""What earlier experiments measured of these tables, taken from their raw lines so that it is not run again."""

import pathlib
from typing import Any

from experiments.studies.jsonl import read_jsonl

Lines = list[dict[str, Any]]
KEPT = ("versions", "python", "devices", "cpus", "git_revision")


def earlier_lines(table: str, results: pathlib.Path) -> Lines:
    """Returns the lines of a table's arms, in the form of `experiments.studies.papers`, all of scale cpu.

    Args:
      table: its name.
      results: the directory where the raw lines lie.
    """
    reader = READERS.get(table)
    return [] if reader is None else reader(results)


def _line(table: str, block: str, arm: str, errors: list[float], line: dict[str, Any], **known: Any) -> dict[str, Any]:
    about = {name: line[name] for name in KEPT}
    where = {"table": table, "scale": "cpu", "block": block, "arm": arm, "earlier": True}
    return {**where, "errors": errors, **known, **about}


def _errors(line: dict[str, Any]) -> list[float]:
    return [100 * (1 - accuracy) for accuracy in line["accuracies"]]


def _ricap_cifar(results: pathlib.Path) -> Lines:
    names = {"standard": "crop and flip", "cutout": "cutout", "mixup": "mixup", "ricap": "RICAP"}
    found: Lines = []
    lines = read_jsonl(results / "cifar10_mixing.jsonl")
    for arm, name in names.items():
        runs = sorted((line for line in lines if line["arm"] == arm), key=lambda line: line["seed"])
        if runs:
            known = {
                "seconds": [run["seconds"] for run in runs],
                "examples_per_second": sorted(run["examples_per_second"] for run in runs)[len(runs) // 2],
                "about": "WRN-10-1 on 10,000 training images of CIFAR-10, 15 epochs of a cosine schedule",
                "command": "python -m experiments.studies.mixing --data-dir DIR",
            }
            errors = [100 * (1 - run["test_accuracy"]) for run in runs]
            found.append(_line("ricap_cifar", "CIFAR-10", name, errors, runs[0], **known))
    return found


def _importance_cifar(results: pathlib.Path) -> Lines:
    blocks = {"A": "CIFAR-10, crop and flip", "B": "CIFAR-10, crop, flip and cutout"}
    names = {
        "ordinary": "conventional",
        "by the loss, M = 4": "one of 4 copies by its loss",
        "uniform, M = 4": "one of 4 copies, uniformly",
        "max_loss, M = 4": "the hardest of 4 copies",
    }
    return [
        _line(
            "importance_cifar", blocks[line["setting"]], names[line["arm"]], _errors(line), line,
            ratio=line["ratio"], about=f"{line['about']}, {line['epochs']} epochs", command=line["command"],
        )
        for line in read_jsonl(results / "importance_sampled.jsonl")
        if line["budget"] == "epochs" and line["arm"] in names
    ]  # fmt: skip


def _self_paced(results: pathlib.Path) -> Lines:
    names = {
        "all": "all", "none": "none", "above 0.5": "loss at least 0.5", "below 0.5": "loss below 0.5",
        "above 0.5, stored": "stored loss at least 0.5",
    }  # fmt: skip
    return [
        _line(
            "self_paced", f"WRN-28-10, {line['examples']:,} examples", names[line["arm"]], _errors(line), line,
            about="WRN-10-1 on images of CIFAR-10 of side 16, 800 steps", command=line["command"],
        )
        for line in read_jsonl(results / "self_paced.jsonl")
        if line["dataset"] == "cifar10" and line["arm"] in names
    ]  # fmt: skip


def _shakedrop_cifar(results: pathlib.Path) -> Lines:
    names = {"none": "none", "stochastic depth": "stochastic depth", "set B": "ShakeDrop"}
    return [
        _line(
            "shakedrop_cifar", "ResNet-110", names[line["arm"]], _errors(line), line,
            about="ResNet-20 on 5,000 training images of CIFAR-10 of side 16, 25 epochs", command=line["command"],
        )
        for line in read_jsonl(results / "shakedrop.jsonl")
        if line["ending"] == "ReLU" and line["arm"] in names and None not in line["accuracies"]
    ]  # fmt: skip


READERS = {
    "ricap_cifar": _ricap_cifar,
    "importance_cifar": _importance_cifar,
    "self_paced": _self_paced,
    "shakedrop_cifar": _shakedrop_cifar,
}
