"""The script of ShakeDrop's two sets: what it runs, and the page and picture made of its results."""

import json
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

import experiments.studies.shakedrop.__main__ as shakedrop
from experiments.run.build import normalization
from experiments.studies.train_seeds import train_seeds
from jaxaug import ShakeDrop, always, create_model, data
from jaxaug.compose import chain


def test_arms_are_what_they_are_called() -> None:
    found: dict[tuple[str, str], Any] = shakedrop.arms()
    made = {name: factory(keep_prob=0.75) for name, factory in found.items() if factory is not None}
    assert made["ReLU", "set A"] == ShakeDrop(0.75)
    assert made["ReLU", "set B"] == ShakeDrop(0.75, (0.0, 0.0))
    assert made["addition", "set A, pixel"] == ShakeDrop(0.75, noise_level="pixel")
    assert made["addition", "set A, no switch"] == ShakeDrop(0.0)
    assert made["addition", "alpha and beta in [0, 1], no switch"] == ShakeDrop(0.0, (0.0, 1.0))


def test_a_run_that_diverges_ends_its_records() -> None:
    iris = data.load("iris")
    states, runs = train_seeds(
        [iris, iris],
        create_model("mlp", 3),
        always(chain()),
        seeds=(0, 1),
        epochs=3,
        batch_size=60,
        learning_rate=1e30,
        normalize=normalization(iris),
    )
    assert states == [None, None]
    assert [len(run) < 3 for run in runs] == [True, True]


def test_rows_are_run_once_and_page_and_picture_are_made_of_them(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.jsonl"
    rows = {
        "addition": {"accuracies": [0.75, 0.5], "losses": [[2.0, 1.0], [2.0, 3.0]]},
        "ReLU": {"accuracies": [0.5, None], "losses": [[2.0, 1.5], [2.5]]},
    }
    monkeypatch.setattr(shakedrop, "arms", lambda: {(ending, "set A"): None for ending in rows})
    monkeypatch.setattr(shakedrop, "row", lambda command, full, ending, factory: rows[ending])
    synthetic = data.load("synthetic:16x16x3,2,8")
    monkeypatch.setattr(shakedrop.data, "load", lambda name, data_dir: synthetic)
    monkeypatch.setattr(sys, "argv", ["x", "--data-dir", "DIR", "--epochs", "2", "--results", str(path)])
    assert shakedrop.main() == 0
    assert [json.loads(line)["ending"] for line in path.read_text().splitlines()] == ["addition", "ReLU"]
    page = path.with_suffix(".md").read_text()
    assert "| set A | 37.50 ± 17.68 | 2.000 ± 1.414 | 3.00 | 0 |" in page
    assert "| set A | - | - | 1.50 | 1 |" in page
    picture = np.asarray(Image.open(path.with_suffix(".png")).convert("L"))
    assert picture.std() > 5
    capsys.readouterr()
    assert shakedrop.main() == 0
    assert capsys.readouterr().out == ""
