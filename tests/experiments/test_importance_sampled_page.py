"""The script of importance-sampled augmentation: what it runs, once each, and the page made of its results."""

import json
import sys
from typing import Any

import numpy as np
import pytest

import experiments.studies.importance.__main__ as importance_sampled
from experiments.studies.downsample import downsample
from jaxaug import data
from jaxaug.sampling import always, max_loss


def test_averages_are_of_squares_of_pixels() -> None:
    full = data.load("synthetic:8x8x3,2,6")
    small = downsample(full, 2)
    assert small.shape == (2, 2, 3)
    corner = full.train.images[:, 4:, :4].astype(np.float64).mean((1, 2))
    np.testing.assert_array_equal(small.train.images[:, 1, 0], np.round(corner))
    np.testing.assert_array_equal(small.test.labels, full.test.labels)
    np.testing.assert_array_equal(downsample(full, 8).test.images, full.test.images)
    with pytest.raises(ValueError, match="a side that divides 8 x 8 is expected; got 3"):
        downsample(full, 3)


def test_rows_are_run_once_and_the_page_is_made_of_them(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.jsonl"
    chosen = {"ordinary": always, "max_loss, M = 4": max_loss}
    monkeypatch.setattr(importance_sampled, "arms", lambda augment: {k: make(augment) for k, make in chosen.items()})

    def row(command: Any, full: Any, setting: str, arm: str, epochs: int) -> dict[str, Any]:
        return {"epochs": epochs, "accuracies": [0.5, 0.25 * epochs + 0.125 * (arm != "ordinary")], "train_loss": 1.0}

    monkeypatch.setattr(importance_sampled, "row", row)
    data_set = data.load("synthetic:16x16x3,2,20")
    monkeypatch.setattr(importance_sampled.data, "load", lambda name, data_dir: data_set)
    monkeypatch.setattr(importance_sampled, "time_ratios", lambda *_: {"ordinary": 1.0, "max_loss, M = 4": 2.0})
    options = ["--model", "mlp", "--examples", "8", "--side", "8", "--epochs", "2", "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", ["x", "--data-dir", "DIR", *options, "--results", str(path)])
    assert importance_sampled.main() == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["setting"], line["budget"], line["epochs"]) for line in lines] == [
        (setting, budget, epochs)
        for setting in "AB"
        for budget, of_max_loss in (("epochs", 2), ("time", 1))
        for epochs in (2, of_max_loss)
    ]
    assert lines[0]["accuracies"] == lines[2]["accuracies"]
    page = path.with_suffix(".md").read_text()
    error = 100 * (1 - np.array(lines[3]["accuracies"]))
    assert f"| max_loss, M = 4 | {error.mean():.2f} ± {error.std(ddof=1):.2f} | " in page
    assert "| 2.00 | 1 | 1.00 |" in page  # a step takes twice the time, an epoch fits
    assert "--model mlp --examples 8 --side 8 --epochs 2 --seeds 2" in page
    capsys.readouterr()
    assert importance_sampled.main() == 0
    assert capsys.readouterr().out == ""


def test_a_row_has_an_accuracy_of_every_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance_sampled, "BATCH_SIZE", 4)
    options: dict[str, Any] = {"data_dir": None, "model": "mlp", "examples": 8, "side": 8, "seeds": 2}
    command = importance_sampled.Command(**options)
    row = importance_sampled.row(command, data.load("synthetic:8x8x3,2,20"), "B", "by the loss, M = 2", 1)
    assert row["epochs"] == 1
    assert len(row["accuracies"]) == 2
    assert np.isfinite(row["train_loss"])


def test_ratios_are_to_ordinary_training(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"ordinary": [1.0, 2.0, 4.0], "max_loss, M = 4": [2.0, 6.0, 8.0]}
    monkeypatch.setattr(importance_sampled, "arms", lambda augment: dict.fromkeys(seconds, always(augment)))
    monkeypatch.setattr(importance_sampled, "step_call", lambda *_: None)
    monkeypatch.setattr(importance_sampled, "seconds_in_turns", lambda calls, turns: seconds)
    command = importance_sampled.Command(data_dir=None, model="cnn")  # pyright: ignore[reportArgumentType]
    ratios = importance_sampled.time_ratios(command, data.load("synthetic:16x16x3,2,200"), "A")
    assert ratios == {"ordinary": 1.0, "max_loss, M = 4": 2.0}
