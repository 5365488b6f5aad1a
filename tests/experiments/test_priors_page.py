"""The script of the layers of a prior model: its networks, its second stage, and the page made of its results."""

import functools
import json
import pathlib
import sys
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from experiments.studies.priors import __main__ as script
from experiments.studies.priors import convolution, long_tail, pooling
from experiments.studies.priors.runs import Budget, trained, untrained
from jaxaug import create_model, data


def test_every_network_has_a_place_for_its_layer() -> None:
    for network in pooling.NETWORKS:
        assert list(pooling.models(network, 3)) == list(pooling.arms())
    assert list(convolution.models(3)) == list(convolution.arms())


def test_widths_are_listed_in_the_order_of_the_network() -> None:
    layer = {"kernel": np.zeros(1), "sigma": np.array([-1.0, 2.0])}
    params = {"trunk": {"stage1_block1": {"branch1": {"conv1": layer}}, "stem": {"conv": layer}}, "classifier": {}}
    assert convolution.learned_sigmas(params) == {"stem/conv": 1.5, "stage1_block1/branch1/conv1": 1.5}


def test_the_second_stage_keeps_the_features() -> None:
    tail = data.long_tailed(data.load("synthetic:8x8x1,3,120"), 10.0)
    model = create_model("cnn", 3, width=2)
    [first], _ = trained(model, [tail], Budget(1, 0.1))
    [second], [record] = trained(model, [tail], Budget(1, 0.1, sampling="class_balanced"), features_of=[first])
    jax.tree.map(np.testing.assert_array_equal, first.params["trunk"], second.params["trunk"])
    jax.tree.map(np.testing.assert_array_equal, first.batch_stats, second.batch_stats)
    assert not np.array_equal(first.params["classifier"]["kernel"], second.params["classifier"]["kernel"])
    assert 0 <= record["test_accuracy"] <= 1


def test_a_rate_of_next_to_nothing_leaves_the_weights_as_they_begin() -> None:
    synthetic = data.load("synthetic:8x8x1,3,120")
    model = create_model("cnn", 3, width=2)
    states, _ = trained(model, [synthetic, synthetic], Budget(1, 1e-30))
    for state, first in zip(states, untrained(model, [synthetic, synthetic]), strict=True):
        same = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-25)
        jax.tree.map(same, state.params, first.params)


def test_rows_are_run_once_and_page_and_picture_are_made_of_them(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.jsonl"
    accuracies = {"accuracies": [0.75, 0.5]}
    fields = {
        "sigmas": [{"stem/conv": 0.5}, {"stem/conv": 0.75}],
        "initial spreads": [1.0, 2.0],
        "spreads": [2.0, 3.0],
        "field": np.eye(4).tolist(),
    }
    stage = {"accuracy": [0.5, 0.75], "many_shot": [0.5, 0.5], "medium_shot": [None, None], "few_shot": [0.25, 0.5]}
    monkeypatch.setattr(pooling, "arms", lambda: {"strided": None, "maximum": None})
    monkeypatch.setattr(convolution, "arms", lambda: {"plain": None})
    monkeypatch.setattr(long_tail, "ARMS", {"plain": (False, False)})
    monkeypatch.setattr(pooling, "row", lambda network, arm, subsets, budget: accuracies)
    monkeypatch.setattr(convolution, "row", lambda arm, subsets, budget: accuracies | fields)
    monkeypatch.setattr(long_tail, "row", lambda *_: {"first stage": stage, "second stage": stage})
    monkeypatch.setattr(pooling, "ratios", lambda *_: {"strided": 1.0, "maximum": 1.25})
    monkeypatch.setattr(convolution, "ratios", lambda *_: {"plain": 1.0})
    synthetic = data.load("synthetic:16x16x3,2,64")
    monkeypatch.setattr(script.data, "load", lambda name, data_dir: synthetic)
    arguments: list[Any] = ["x", "--data-dir", "DIR", "--examples", "8", "--seeds", "2", "--results", str(path)]
    arguments += ["--networks", "resnet20"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert script.main() == 0
    assert [json.loads(line)["arm"] for line in path.read_text().splitlines()] == [
        "strided",
        "maximum",
        "plain",
        "plain",
    ]
    page = path.with_suffix(".md").read_text()
    assert "| maximum | 37.50 ± 17.68 | +0.00 ± 0.00 | 1 | 1.25 |" in page
    assert "| plain | 1.50 ± 0.71 | 2.50 ± 0.71 | 0.50 to 0.75 |" in page
    assert "| plain | second stage | 37.50 ± 17.68 | 50.00 ± 0.00 | - | 62.50 ± 17.68 |" in page
    assert np.asarray(Image.open(path.with_suffix(".png")).convert("L")).std() > 5
    capsys.readouterr()
    assert script.main() == 0
    assert capsys.readouterr().out == ""


def test_what_a_line_says_of_its_command_is_what_was_given() -> None:
    tiny = pathlib.Path("somewhere")
    assert script.said(script.Command(tiny_imagenet=tiny, parts=("pooling", "long tail"), side=8)) == (
        "python -m experiments.studies.priors --tiny-imagenet DIR --parts pooling 'long tail' --side 8"
    )


def test_no_dataset_gets_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["x"])
    assert script.main() == 2
    assert "takes --data-dir, --tiny-imagenet, or both; got neither" in capsys.readouterr().err
