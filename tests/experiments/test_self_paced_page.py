"""The population of small networks, and the page made of its results."""

import json
import sys
from typing import Any

import numpy as np
import pytest

import experiments.studies.self_paced.__main__ as self_paced
from experiments.run.build import normalization
from experiments.studies.train_seeds import train_seeds
from jaxaug import create_model, data, gaussian_noise, on_images
from jaxaug.sampling import self_paced as self_paced_strategy


def row(seeds: list[int], threshold: float) -> dict[str, Any]:
    full = data.load("iris")
    _, runs = train_seeds(
        [data.subset(full, 60, seed=seed) for seed in seeds],
        create_model("mlp", 3, hidden=(16,)),
        self_paced_strategy(on_images(gaussian_noise, stddev=0.1), threshold=threshold),
        seeds=seeds,
        epochs=15,
        batch_size=16,
        learning_rate=0.1,
        normalize=normalization(full),
    )
    return self_paced.accuracies_and_shares(runs)


def test_a_seed_trains_the_same_in_any_company() -> None:
    together, alone = row([3, 4], threshold=0.5), row([4], threshold=0.5)
    assert len(together["accuracies"]) == 2
    assert together["accuracies"][1] == pytest.approx(alone["accuracies"][0], abs=0.04)  # one test example
    assert min(together["accuracies"]) > 0.8
    assert together["share_first"] > together["share_last"]  # losses fall below the threshold


def test_rows_are_run_once_and_the_page_is_made_of_them(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "self_paced.jsonl"
    monkeypatch.setattr(self_paced, "rows", lambda command: [("iris", None, arm) for arm in ("none", "all")])
    monkeypatch.setattr(sys, "argv", ["self_paced", "--seeds", "2", "--steps", "20", "--results", str(path)])
    assert self_paced.main() == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["arm"] for line in lines] == ["none", "all"]
    assert [line["share_last"] for line in lines] == [0.0, 1.0]
    page = path.with_suffix(".md").read_text()
    error = 100 * (1 - np.mean(lines[0]["accuracies"]))
    assert f"| none | {error:.2f} ± " in page
    assert "## iris, all training examples, 2 seeds" in page
    assert "python -m experiments.studies.self_paced --seeds 2 --steps 20" in page
    capsys.readouterr()
    assert self_paced.main() == 0
    assert capsys.readouterr().out == ""
