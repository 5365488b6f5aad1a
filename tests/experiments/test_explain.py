"""The script that shows what runs look at, on two tiny runs trained once."""

import dataclasses
import functools
import json
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from test_compare import rows_of, written

from experiments import explain, train
from experiments.figures import attention_maps
from experiments.run import trainer
from experiments.run.build import build_experiment, normalization
from experiments.run.config import Config, DataConfig
from experiments.run.load_runs import load_runs
from jaxaug.explain import (
    bounding_box,
    cam,
    features_and_head,
    grad_cam,
    guided_grad_cam,
    map_area,
    map_entropy,
    overlay,
)
from jaxaug.training import Checkpoints, abstract_variables, load_variables

DATA = DataConfig(num_examples=300)
UNTRAINED = Config(data=DATA, model="cnn(width=4)", epochs=2, batch_size=50, seed=1)
TINY = ["--data.num-examples", "300", "--model", "cnn(width=4)", "--batch-size", "50", "--augment", "--mix", "None",
        "--epochs", "2", "--optimizer.average-decay", "0.5", "--quiet"]  # fmt: skip


@pytest.fixture(scope="module")
def trained_and_not(tmp_path_factory):
    """A trained run with an average of its weights, and one of other images that kept its first weights.

    Of both the directory, and the parts and the weights that inference takes as they were in memory.
    """
    root = tmp_path_factory.mktemp("runs")
    first, second = root / "first", root / "second"
    parts, states = [], []
    with pytest.MonkeyPatch.context() as patch:
        build, fit = train.build_experiment, trainer.fit
        patch.setattr(train, "build_experiment", lambda *a, **k: parts.append(build(*a, **k)) or parts[-1])
        patch.setattr(trainer, "fit", lambda *a, **k: states.append(fit(*a, **k)) or states[-1])
        assert train.main([*TINY, "--run-dir", str(first)]) == 0
    written(second, UNTRAINED)
    parts.append(build_experiment(UNTRAINED))
    with Checkpoints(second / "checkpoints") as checkpoints:
        checkpoints.save(dataclasses.replace(parts[1].state, step=jnp.int32(12)), {})
    return (first, second), parts, (states[0][0].average, parts[1].state.variables)


@pytest.fixture(scope="module")
def runs(trained_and_not):
    return trained_and_not[0]


@pytest.fixture(scope="module")
def networks(trained_and_not):
    """Model, weights, dataset, normalization and test images of both."""
    _, parts, weights = trained_and_not
    return [
        (
            part.model,
            variables,
            part.dataset,
            normalization(part.dataset),
            jnp.asarray(part.dataset.test.images, jnp.float32) / 255,
        )
        for part, variables in zip(parts, weights, strict=True)
    ]


@pytest.fixture(autouse=True)
def each_run_read_once(monkeypatch, memory):
    """Reads each run only once for all tests."""
    read = explain.load_network

    def remembered(run, data):
        key = (run.path, str(data))
        memory[key] = memory[key] if key in memory else read(run, data)
        return memory[key]

    monkeypatch.setattr(explain, "load_network", remembered)


@pytest.fixture(scope="module")
def memory():
    return {}


def direct_maps(network: Any, classes: jax.Array, method: str, layer: str | None, index: np.ndarray) -> jax.Array:
    """Maps of these test images, of their size, by the library's functions."""
    return jax.jit(functools.partial(maps_of, network, method, layer))(network[4][index], classes)


def maps_of(network: Any, method: str, layer: str | None, images: jax.Array, classes: jax.Array) -> jax.Array:
    model, variables, _, normalize, _ = network

    def features(x: jax.Array) -> jax.Array:
        return model.apply(variables, normalize(x), train=False, method="features")

    def head(a: jax.Array) -> jax.Array:
        return model.apply(variables, a, train=False, method="head")

    if layer is not None:
        at_layer, from_layer = features_and_head(model, variables, normalize(images), layer, train=False)
        maps = grad_cam(from_layer, at_layer, classes)
    elif method == "cam":
        maps = cam(features(images), variables["params"]["classifier"]["kernel"], classes)
    elif method == "grad_cam":
        maps = grad_cam(head, features(images), classes)
    else:
        maps = jnp.abs(guided_grad_cam(features, head, images, classes)).sum(axis=-1)
    return jax.image.resize(maps, images.shape[:3], "bilinear")


def probabilities(network: Any) -> np.ndarray:
    model, variables, _, normalize, images = network
    logits = jax.jit(lambda x: model.apply(variables, normalize(x), train=False))(images)
    return np.asarray(jax.nn.softmax(logits))


def mean_and_error(values: Any) -> tuple[float, float]:
    values = np.asarray(values, np.float64)
    return float(values.mean()), float(np.sqrt(((values - values.mean()) ** 2).sum() / (len(values) - 1) / len(values)))


@pytest.mark.parametrize(
    ("method", "layer", "of", "count"),
    [
        ("cam", None, "predicted", 1000),  # more than there are, in batches of which the last is smaller
        ("grad_cam", None, "label", 40),
        ("grad_cam", "trunk/bn3", "7", 40),
        ("guided_grad_cam", None, "7", 40),
    ],
)
def test_numbers_are_the_means_of_direct_computation(method, layer, of, count, runs, networks, tmp_path, capsys):
    at = [] if layer is None else ["--layer", layer]
    options = ["--method", method, *at, "--of", of, "--measured", str(count), "--images", "2"]
    output = tmp_path / "new" / "sheet.png"
    if method != "cam":
        runs, networks = runs[:1], networks[:1]  # once is enough for what differs between methods
    assert explain.main([*map(str, runs), *options, "--output", str(output)]) == 0
    page = output.with_suffix(".md").read_text()
    words = " ".join(page.split())
    header, *rows = rows_of(page)
    assert rows_of(capsys.readouterr().out) == [header, *rows]
    titles = [", ".join(title) for title in explain.titles(load_runs(runs))]
    assert [row[0] for row in rows] == titles
    index = np.floor(np.linspace(0, 359, min(count, 359), endpoint=False)).astype(int)
    for network, row in zip(networks, rows, strict=True):
        labels = network[2].test.labels[index]
        logits = probabilities(network)[index]
        classes = {"predicted": logits.argmax(axis=-1), "label": labels}.get(of, np.full(len(labels), 7))
        maps = direct_maps(network, jnp.asarray(classes), method, layer, index)
        assert row[1] == f"{100 * (logits.argmax(axis=-1) == labels).mean():.1f}"
        for text, values in zip(row[2:4], (map_entropy(maps), map_area(maps)), strict=True):
            np.testing.assert_allclose([float(x) for x in text.split(" ± ")], mean_and_error(values), atol=0.00051)
        assert row[4] == str(int((maps.max(axis=(1, 2)) <= 0).sum()))
    assert f"python -m experiments.explain {' '.join(map(str, runs))}" in page
    assert f"{len(index)} of the 359 images of the test split, spread evenly" in words
    with Image.open(output) as picture:
        assert np.asarray(picture.convert("L")).std() > 20


def test_the_sheet_has_overlays_boxes_and_words(runs, networks, tmp_path, monkeypatch):
    sheets = []
    draw = explain.draw_sheet
    monkeypatch.setattr(explain, "draw_sheet", lambda *arguments: (sheets.append(arguments), draw(*arguments)))
    seen = [probabilities(network) for network in networks]
    hits = [found.argmax(axis=-1) == network[2].test.labels for found, network in zip(seen, networks, strict=True)]
    index = [int(np.flatnonzero(hits[0] != hits[1])[0]), int(np.flatnonzero(~hits[0])[0]), 358]
    shown = ["--indices", *map(str, index), "--of", "label", "--measured", "50"]
    assert explain.main([*map(str, runs), *shown, "--output", str(tmp_path / "sheet.png")]) == 0
    ((titles, rows, footer, _),) = sheets
    assert titles[0] == ["image"]
    assert "seed=0" in titles[1]
    assert "optimizer.average_decay=none" in titles[2]
    assert "CAM of the label." in footer
    assert len(rows) == 3
    for column, (network, found) in enumerate(zip(networks, seen, strict=True), start=1):
        labels, images = network[2].test.labels, network[4]
        maps = direct_maps(network, jnp.asarray(labels), "cam", None, np.arange(len(labels)))
        boxes, pictures = np.asarray(bounding_box(maps)), np.asarray(overlay(images, maps))
        for i, row in zip(index, rows, strict=True):
            cell, probability = row[column], found[i]
            predicted = int(probability.argmax())
            np.testing.assert_allclose(cell.picture, pictures[i], atol=1e-4)
            assert list(cell.box) == boxes[i].tolist()
            assert cell.correct == (predicted == labels[i])
            first, *others = cell.caption.split("\n")
            assert first == f"{predicted} ({probability[predicted]:.2f}), {'correct' if cell.correct else 'wrong'}"
            if not cell.correct:
                assert others[0] == f"map of {labels[i]} ({probability[labels[i]]:.2f})"
            assert ("no evidence" in others) == (maps[i].max() <= 0)
            np.testing.assert_allclose(row[0].picture, np.repeat(images[i], 3, axis=-1), atol=1e-6)
            assert row[0].caption == f"{labels[i]} (test {i})"
    assert {row[column].correct for row in rows for column in (1, 2)} == {True, False}


def test_runs_are_only_read_and_the_weights_are_those_of_inference(runs, networks):
    before = {p: p.stat().st_mtime_ns for path in runs for p in path.rglob("*")}
    for path, (model, variables, dataset, *_) in zip(runs, networks, strict=True):
        saved = load_variables(path / "checkpoints", abstract_variables(model, dataset.shape))
        assert saved.step == 12
        assert jax.tree.structure(saved.variables) == jax.tree.structure(variables)
        for ours, theirs in zip(jax.tree.leaves(saved.variables), jax.tree.leaves(variables), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert {p: p.stat().st_mtime_ns for path in runs for p in path.rglob("*")} == before


def test_a_damaged_checkpoint_is_passed_over_and_named(runs, networks, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(runs[0], copy)
    (copy / "checkpoints" / "12" / "about" / "metadata").write_text("{}")
    model, _, dataset, *_ = networks[0]
    with pytest.warns(UserWarning, match=r"checkpoints/12 cannot be read .*; the previous one is used\."):
        assert load_variables(copy / "checkpoints", abstract_variables(model, dataset.shape)).step == 6


def test_a_run_that_is_not_finished_is_explained_and_said_to_be(runs, networks, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(runs[0], copy)
    shutil.rmtree(copy / "checkpoints" / "12")
    first = (copy / "metrics.jsonl").read_text().splitlines()[0]
    (copy / "metrics.jsonl").write_text(first + "\n")
    few = ["--of", "label", "--images", "1", "--measured", "2", "--output", str(tmp_path / "x.png")]
    assert explain.main([str(copy), *few]) == 0
    out = capsys.readouterr().out
    assert rows_of(out)[1][0] == "run"
    assert f"{copy} is not finished: it has 1 of 2 epochs; its weights are from step 6." in out
    classes = len(set(networks[0][2].test.labels[[0, 179]].tolist()))
    assert f"The measured images show {classes} of 10 classes; increase --measured to cover more." in out


def test_the_place_of_the_data_can_be_another(runs, monkeypatch):
    places = []
    monkeypatch.setattr(attention_maps, "build_dataset", lambda config: places.append(config.data) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        explain.main([str(runs[0]), "--of", "label", "--data-dir", "elsewhere"])
    assert places == [dataclasses.replace(DATA, data_dir=pathlib.Path("elsewhere"))]


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Runs that cannot be attention_maps."""
    root = tmp_path_factory.mktemp("others")
    written(root / "wine", Config(data=DataConfig(name="wine"), model="mlp"), epochs=1)
    written(root / "mlp", Config(data=DATA, model="mlp"), epochs=1)
    written(root / "bare", Config(data=DATA, model="cnn(width=4)"), epochs=1)
    return root


@pytest.mark.parametrize(
    ("names", "options", "sentence"),
    [
        (["nowhere"], [], "OTHERS/nowhere is not a directory;"),
        ([], [], "no runs were given;"),
        (["wine"], [], "expected runs on images; OTHERS/wine is on wine, which has none."),
        (["FIRST", "wine"], [], "expected runs on the same dataset; FIRST is on digits, OTHERS/wine on wine."),
        (["mlp"], [], "expected networks with feature maps; OTHERS/mlp has mlp, which has none."),
        (["bare"], [], "expected a run with a checkpoint; for OTHERS/bare, there is no checkpoint that can be read"),
        (["FIRST"], ["--of", "eight"], "unknown class 'eight'; known: 0, 1,"),
        (["FIRST"], ["--indices", "0", "359"], "expected --indices in [0, 358] for this split; got 359."),
        (["FIRST"], ["--indices", "1", "--images", "2"], "expected either --images or --indices; got 2 and (1,)."),
        (["FIRST"], ["--images", "0"], "experiments.explain takes --images of at least 1; got 0."),
        (["FIRST"], ["--measured", "1"], "experiments.explain takes --measured of at least 2; got 1."),
        (["FIRST"], ["--split", "validation"], "expected --split train or test for FIRST; got validation."),
        (["FIRST", "SECOND"], ["--split", "train"], "expected runs with the same images in their train split;"),
        (["FIRST"], ["--layer", "trunk/bn3"], "--layer applies to grad_cam and guided_grad_cam, not to cam"),
        (
            ["FIRST"],
            ["--method", "grad_cam", "--layer", "trunk/bn5"],
            "FIRST cannot be explained with these options: unknown layer of Network 'trunk/bn5'; did you mean",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(names, options, sentence, runs, others, tmp_path, capsys):
    known = {"FIRST": str(runs[0]), "SECOND": str(runs[1])}
    paths = [known.get(name, str(others / name)) for name in names]
    of = [] if "--of" in options else ["--of", "label"]
    assert explain.main([*paths, *of, *options, "--output", str(tmp_path / "out" / "sheet.png")]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    for name, path in {**known, "OTHERS": str(others)}.items():
        sentence = sentence.replace(name, path)
    assert sentence in output.err
    assert not (tmp_path / "out").exists()


def test_another_network_than_that_of_the_checkpoint_is_refused(runs, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(runs[0], copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"model": "cnn(width=3)"}))
    assert explain.main([str(copy), "--of", "label"]) == 2
    error = capsys.readouterr().err
    assert f"expected a run with a checkpoint; for {copy}, the checkpoint" in error
    assert "is of another network" in error
    assert len(error.splitlines()) == 1


def test_runs_that_differ_in_nothing_are_told_apart_by_their_names(runs, tmp_path):
    shutil.copytree(runs[0], tmp_path / "again")
    found = load_runs([runs[0], tmp_path / "again"])
    assert explain.titles(found) == [["first"], ["again"]]
    other = dataclasses.replace(found[1], config=dataclasses.replace(found[1].config, augment=("rotate", "crop")))
    assert explain.titles([found[0], other]) == [["augment=none"], ["augment=rotate crop"]]
