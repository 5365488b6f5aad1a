"""The script that compares runs, on run directories written by hand."""

import dataclasses
import json
import pathlib
import statistics
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from experiments import compare
from experiments.figures.curves import Curve, draw_panels
from experiments.run.config import Config, DataConfig, OptimizerConfig, as_json

RNG = np.random.default_rng(0)
RICAP = Config(epochs=4, mix="ricap(beta=0.3)", augment=("crop(padding=1)", "rotate"))
VALIDATED = dataclasses.replace(RICAP, data=DataConfig(validation=0.1))


def written(path: pathlib.Path, config: Config, epochs: int | None = None, **fixed: Any) -> list[dict[str, Any]]:
    """Writes a run with metrics drawn at random, and returns them."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"name": "digits", **as_json(config)}))
    names = ["train_loss", "test_accuracy", *(["validation_accuracy"] if config.data.validation else [])]
    records = [
        {"epoch": epoch, "step": 10 * epoch, **dict(zip(names, RNG.uniform(0.1, 0.9, len(names)), strict=False))}
        | {"examples_per_second": RNG.uniform(1e3, 1e4), "seconds": 1.0}
        | fixed
        for epoch in range(1, (epochs or config.epochs) + 1)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return records


def seeded(config: Config, seed: int) -> Config:
    return dataclasses.replace(config, seed=seed)


def rows_of(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in (lines[0], *lines[2:])]


def said(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def test_table_and_picture_have_the_means_and_sample_deviations_of_the_metrics(tmp_path, capsys, monkeypatch):
    plain = dataclasses.replace(VALIDATED, mix=None, optimizer=OptimizerConfig(learning_rate=0.05))
    groups = [
        [written(tmp_path / f"{name}{seed}", seeded(config, seed)) for seed in seeds]
        for name, config, seeds in (("a", VALIDATED, (0, 1, 5)), ("b", plain, (0, 1)))
    ]
    drawn = {}
    monkeypatch.setattr(compare, "draw_panels", lambda panels, path, **_: drawn.update(panels) or path.touch())
    paths = [str(tmp_path / name) for name in ("a0", "b0", "a1", "b1", "a5")]  # in any order
    assert compare.main([*paths, "--output", str(tmp_path / "new" / "place")]) == 0
    page = (tmp_path / "new" / "place" / "compare.md").read_text()
    header, *rows = rows_of(page)
    assert header == ["runs", "seeds", "test error, %", "best validation error, %", "epochs", "examples/s"]
    assert [row[0] for row in rows] == [
        "mix=ricap(beta=0.3), optimizer.learning_rate=0.1",
        "mix=none, optimizer.learning_rate=0.05",
    ]
    for row, runs in zip(rows, groups, strict=True):
        best = [100 - 100 * max(r["validation_accuracy"] for r in run) for run in runs]
        speed = statistics.mean(statistics.median(r["examples_per_second"] for r in run) for run in runs)
        last = [100 - 100 * run[-1]["test_accuracy"] for run in runs]
        assert row[1:] == [str(len(runs)), said(last), said(best), "4", f"{speed:,.0f}"]
    assert f"python -m experiments.compare {' '.join(paths)}" in page
    assert f"{paths[0]} (seed 0), {paths[2]} (seed 1), {paths[4]} (seed 5)" in page
    assert rows_of(capsys.readouterr().out) == [header, *rows]
    assert list(drawn) == ["training loss (as augmented)", "validation error, %", "test error, %"]
    for place, runs in enumerate(groups):
        curve = drawn["test error, %"][place]
        np.testing.assert_allclose(curve.values, [[100 - 100 * r["test_accuracy"] for r in run] for run in runs])
        assert list(curve.epochs) == [1, 2, 3, 4]
        losses = drawn["training loss (as augmented)"][place].values
        np.testing.assert_array_equal(losses, [[r["train_loss"] for r in run] for run in runs])


def test_a_single_group_is_named_by_its_config_and_a_single_run_has_no_deviation(tmp_path, capsys):
    records = written(tmp_path / "a", RICAP)
    assert compare.main([str(tmp_path / "a"), "--output", str(tmp_path)]) == 0
    header, row = rows_of(capsys.readouterr().out)
    assert "best validation error, %" not in header
    assert row[:4] == ["digits", "1", f"{100 - 100 * records[-1]['test_accuracy']:.2f}", "4"]
    with Image.open(tmp_path / "compare.png") as picture:
        assert picture.size == (900, 350)


def test_a_run_that_is_not_finished_is_compared_up_to_its_last_epoch(tmp_path, capsys):
    full = written(tmp_path / "full", RICAP)
    part = written(tmp_path / "part", seeded(RICAP, 1), epochs=3)
    part[2]["test_accuracy"] = None  # evaluated every other epoch
    (tmp_path / "part" / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in part) + '{"epoch": 4, "st')
    assert compare.main([str(tmp_path / "full"), str(tmp_path / "part"), "--output", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    note = f"{tmp_path / 'part'} is not finished: it has 3 of 4 epochs; its row shows epoch 2."
    assert note in out
    assert note in (tmp_path / "compare.md").read_text()
    row = rows_of(out)[1]
    assert row[2:4] == [said([100 - 100 * run[1]["test_accuracy"] for run in (full, part)]), "2 of 4"]


def test_options_that_runs_of_a_group_may_differ_in_are_the_callers(tmp_path, capsys):
    for seed in (0, 1):
        for stage in ("first", "second"):
            other = tmp_path / f"first{seed}" if stage == "second" else None
            config = dataclasses.replace(RICAP, seed=seed, features_from=other)
            written(tmp_path / f"{stage}{seed}", config)
    runs = [str(tmp_path / f"second{seed}") for seed in (0, 1)]
    assert compare.main([*runs, "--output", str(tmp_path)]) == 0
    assert [row[1] for row in rows_of(capsys.readouterr().out)[1:]] == ["1", "1"]
    assert compare.main([*runs, "--over", "seed", "features_from", "--output", str(tmp_path)]) == 0
    assert [row[1] for row in rows_of(capsys.readouterr().out)[1:]] == ["2"]


def test_a_run_of_a_version_with_fewer_options_is_in_the_group_of_its_defaults(tmp_path, capsys):
    written(tmp_path / "new", RICAP)
    written(tmp_path / "old", seeded(RICAP, 1))
    config = json.loads((tmp_path / "old" / "config.json").read_text())
    del config["logit_adjustment"], config["data"]["sampling"]
    (tmp_path / "old" / "config.json").write_text(json.dumps(config))
    assert compare.main([str(tmp_path / "new"), str(tmp_path / "old"), "--output", str(tmp_path)]) == 0
    assert [row[1] for row in rows_of(capsys.readouterr().out)[1:]] == ["2"]


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """Runs that do not fit together or are none."""
    root = tmp_path_factory.mktemp("bad")
    written(root / "a", RICAP)
    written(root / "again", RICAP)
    written(root / "wine", dataclasses.replace(RICAP, data=DataConfig(name="wine")))
    written(root / "untested", seeded(RICAP, 1), epochs=1, test_accuracy=None)
    written(root / "unmeasured", RICAP)
    (root / "unmeasured" / "metrics.jsonl").unlink()
    (root / "empty").mkdir()
    (root / "file").touch()
    return root


@pytest.mark.parametrize(
    ("runs", "sentence"),
    [
        ([], "no runs were given; expected at least one run directory of experiments.train."),
        (["nowhere"], "ROOT/nowhere is not a directory; expected a run directory of experiments.train."),
        (["file"], "ROOT/file is not a directory;"),
        (["empty"], "ROOT/empty is not a run directory: it has no config.json."),
        (
            ["unmeasured"],
            "ROOT/unmeasured has no metrics; expected a run with at least one epoch in ROOT/unmeasured/metrics",
        ),
        (["a", "wine"], "expected runs on the same dataset; ROOT/a is on digits, ROOT/wine on wine."),
        (["a", "a/../a"], "ROOT/a/../a is listed twice; list each run once."),
        (["a", "again"], "ROOT/a and ROOT/again have the same config and seed, so they are one measurement;"),
        (["a", "untested"], "expected runs that were all tested after some common epoch; ROOT/a, ROOT/untested"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(runs, sentence, bad, tmp_path, capsys):
    out = tmp_path / "out"
    assert compare.main([*(str(bad / run) for run in runs), "--output", str(out)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert sentence.replace("ROOT", str(bad)) in output.err
    assert not out.exists()


def test_an_unknown_option_is_named_with_the_nearest(bad, capsys):
    assert compare.main([str(bad / "a"), "--over", "sead"]) == 2
    assert capsys.readouterr().err == "error: unknown option 'sead'; did you mean 'seed'?\n"


def test_lines_are_means_and_bands_one_sample_deviation(tmp_path, monkeypatch):
    lines, bands = [], []
    plot, fill = Axes.plot, Axes.fill_between

    def noted_plot(self, x, y, **options):
        lines.append((x, y))
        return plot(self, x, y, **options)

    def noted_fill(self, x, low, high, **options):
        bands.append((low, high))
        return fill(self, x, low, high, **options)

    monkeypatch.setattr(Axes, "plot", noted_plot)
    monkeypatch.setattr(Axes, "fill_between", noted_fill)
    values = RNG.uniform(5, 6, (3, 4))
    curves = [Curve("three", [1, 2, 3, 4], values), Curve("one", [2, 4], values[:1, :2])]
    draw_panels({"error": curves}, tmp_path / "picture.png", logarithmic=True)
    (x, mean), (_, only) = lines
    assert x == [1, 2, 3, 4]
    np.testing.assert_allclose(mean, [statistics.mean(column) for column in values.T])
    np.testing.assert_array_equal(only, values[0, :2])
    ((low, high),) = bands
    deviation = [statistics.stdev(column) for column in values.T]
    np.testing.assert_allclose(high - mean, deviation)
    np.testing.assert_allclose(mean - low, deviation)


@pytest.mark.parametrize(("values", "scale"), [((60.0, 2.0), "log"), ((60.0, 30.0), "linear"), ((9.0, 0.0), "linear")])
def test_the_scale_is_logarithmic_where_values_fall_far_and_stay_positive(values, scale, tmp_path, monkeypatch):
    scales = []
    label = Axes.get_yscale
    monkeypatch.setattr("matplotlib.figure.Figure.legend", lambda self, *_, **__: scales.append(label(self.axes[0])))
    many = [Curve(f"option={k} " * 20, [1, 2], np.array([values, values])) for k in range(12)]
    draw_panels({"error": many}, tmp_path / "picture.png", logarithmic=True)
    assert scales == [scale]
