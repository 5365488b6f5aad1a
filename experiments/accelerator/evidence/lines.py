"""Findings as result lines, one per arm with its seeds in order, in the form that `experiments.reproduce` reads."""

import statistics
from collections.abc import Iterable
from typing import Any

# Settings that all seeds of an arm share.
_COMMON = ("data", "model", "dtype", "batch_size", "epochs")


def result_lines(findings: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns a line for each arm with finished findings of this stage.

    `block` is the regime and `arm` the method. `errors` are test errors in percent, in the order of `seeds`.
    """
    by_arm: dict[tuple[str, str, str, str], dict[int, dict[str, Any]]] = {}
    for finding in findings:
        if finding["stage"] == "evidence" and "method" in finding["settings"] and "error" not in finding:
            settings = finding["settings"]
            key = finding["scale"], finding["device_kind"], settings["regime"], settings["method"]
            by_arm.setdefault(key, {})[settings["seed"]] = finding
    return [_line(*key, by_seed) for key, by_seed in by_arm.items()]


def _line(scale: str, device_kind: str, regime: str, method: str, by_seed: dict[int, dict[str, Any]]) -> dict[str, Any]:
    seeds = sorted(by_seed)
    found = [by_seed[seed] for seed in seeds]
    results, settings = [one["result"] for one in found], found[0]["settings"]
    return {
        "scale": scale,
        "block": regime,
        "arm": method,
        "about": settings["about"],
        "seeds": seeds,
        "errors": [result["test_error"] for result in results],
        "train_loss": [result["train_loss"] for result in results],
        "train_accuracy": [result["train_accuracy"] for result in results],
        **{name: settings[name] for name in _COMMON},
        "seconds": [result["train_seconds"] for result in results],
        "examples_per_second": statistics.median(result["examples_per_second"] for result in results),
        "commands": [one["settings"]["command"] for one in found],
        "device_kind": device_kind,
        "versions": found[-1]["versions"],
    }
