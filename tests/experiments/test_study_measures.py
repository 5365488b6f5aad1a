"""What the studies measure in their own way: populations, step costs, maps, layers with a prior, scores, candidates."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.run.build import layer_factory
from experiments.run.components import always_shaken
from experiments.run.config import Config, DataConfig, OptimizerConfig
from experiments.run.downsample import downsample
from experiments.run.policy import Policy
from experiments.studies import all_studies, attention, cheap_scores, priors, search, step_ratios
from experiments.studies.cheap_scores import ScoreSnapshot, measure_scores, score_table
from experiments.studies.papers import importance, shakedrop
from experiments.studies.report import block_table
from experiments.studies.study import DataPaths, Job, Measured, make_line
from experiments.studies.train_population import errors, train_population, training_metrics
from experiments.studies.view import BlockView
from jaxaug import ShakeDrop, data
from jaxaug.explain import map_area, map_entropy

IRIS = Config(data=DataConfig("iris"), model="mlp", optimizer=OptimizerConfig(learning_rate=0.1), eval_every=100)


def job(name: str, *options: str, block: int = 0, arm: int = 0, seeds: int = 2, lines: Any = ()) -> Job:
    """A job of a study at the scale of a CPU, with the options of something tiny."""
    study = all_studies()[name]
    chosen = study.blocks_at("cpu")[block]
    return Job(study, chosen, chosen.arms[arm], "cpu", ["digits", *options], seeds, lines=list(lines))


def view(one: Job, *measured: Measured) -> BlockView:
    """The view of the block, its first arms measured like this."""
    arms = one.block.arms[: len(measured)]
    pairs = zip(arms, measured, strict=True)
    lines = {arm.name: make_line(one._replace(arm=arm), "cpu", each, {}) for arm, each in pairs}
    return BlockView(one.study, one.block, "cpu", json.loads(json.dumps(lines)), {})


def test_a_seed_trains_the_same_in_any_company() -> None:
    config = dataclasses.replace(
        IRIS, data=DataConfig("iris", num_examples=60), model="mlp(hidden=(16,))", epochs=15, batch_size=16,
        augment=("gaussian_noise(stddev=0.1)",), strategy="self_paced(threshold=0.5)",
    )  # fmt: skip
    together, alone = (train_population(config, seeds).records for seeds in ([3, 4], [4]))
    assert errors(together, config)[1] == pytest.approx(errors(alone, config)[0], abs=4)  # one test example
    shares = training_metrics(together)
    assert shares["augmented_first"][0] > shares["augmented_last"][0]  # losses fall below the threshold


def test_a_run_that_diverges_ends_its_records() -> None:
    config = dataclasses.replace(IRIS, optimizer=OptimizerConfig(learning_rate=1e30), epochs=3, batch_size=60)
    population = train_population(config, [0, 1])
    assert population.states == [None, None]
    assert [len(run) < 3 for run in population.records] == [True, True]
    assert errors(population.records, config) == [None, None]
    with pytest.raises(ValueError, match="training diverged with 2 of 2 seeds"):
        _ = population.finite_states


def test_images_are_averaged_over_squares_of_pixels() -> None:
    full = data.load("synthetic:8x8x3,2,6")
    small = downsample(full, 2)
    assert small.shape == (2, 2, 3)
    corner = full.train.images[:, 4:, :4].astype(np.float64).mean((1, 2))
    np.testing.assert_array_equal(small.train.images[:, 1, 0], np.round(corner))
    np.testing.assert_array_equal(small.test.labels, full.test.labels)
    np.testing.assert_array_equal(downsample(full, 8).test.images, full.test.images)
    with pytest.raises(ValueError, match="expects a side length that divides 8 x 8; got 3"):
        downsample(full, 3)
    with pytest.raises(ValueError, match="expects a dataset of images in memory; iris has none"):
        downsample(data.load("iris"), 2)


def test_without_the_switch_the_gate_never_opens() -> None:
    assert always_shaken(keep_prob=0.75) == ShakeDrop(0.0)
    assert layer_factory("regularizer", "always_shaken(alpha=(0.0, 1.0))")(keep_prob=1.0) == ShakeDrop(0.0, (0.0, 1.0))


def test_step_costs_are_relative_to_the_first_arm_and_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [arm.name for arm in all_studies()["importance_cifar"].blocks_at("cpu")[0].arms]
    seconds = {name: [1.0, 2.0, 4.0] for name in names} | {names[1]: [2.0, 6.0, 8.0]}
    monkeypatch.setattr(step_ratios, "seconds_in_turns", lambda calls, turns: {name: seconds[name] for name in calls})
    tiny = ("--data.name", "synthetic:16x16x3,2,40", "--model", "mlp", "--batch-size", "8", "--data.num-examples", "16")
    one = job("importance_cifar", *tiny)._replace(extra=tiny, seeds=1)
    ratios = step_ratios.step_ratios(one)
    assert ratios == dict.fromkeys(names, 1.0) | {names[1]: 2.0}
    line = make_line(one, "cpu", Measured([50.0], {"epochs": 4, "train_loss": [1.0], "step_ratios": ratios}, []), {})
    monkeypatch.setattr(step_ratios, "seconds_in_turns", lambda *_: pytest.fail("measured again"))
    assert step_ratios.step_ratios(one._replace(lines=[line])) == ratios


def test_at_equal_time_slower_arms_have_fewer_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def measure(one: Job, config: Config) -> Measured:
        ran.append(config.epochs)
        return Measured([40.0] * one.seeds, {"epochs": config.epochs, "train_loss": [1.0] * one.seeds}, [1.0])

    monkeypatch.setattr(importance, "measure_config", measure)
    first = job("importance_cifar", "--epochs", "4")
    names = [arm.name for arm in first.block.arms]
    metrics = {"epochs": 4, "train_loss": [2.0, 2.0], "step_ratios": dict.fromkeys(names, 2.0) | {names[0]: 1.0}}
    lines = [
        make_line(first._replace(arm=arm), "cpu", Measured([50.0, 60.0], metrics, []), {}) for arm in first.block.arms
    ]
    slow = job("importance_cifar", "--epochs", "4", block=1, arm=1, lines=lines)
    found = importance.measure_at_equal_time(slow)
    assert ran == [2]
    assert found.options == ["digits", "--epochs", "2"]
    assert found.metrics["step_ratio"] == 2.0
    ordinary = importance.measure_at_equal_time(slow._replace(arm=slow.block.arms[0]))
    assert ran == [2]
    assert ordinary.errors == [50.0, 60.0]
    table = block_table(view(slow, ordinary, found))
    assert row_of(table, slow.arm.name).endswith("| 2 | 1.000 ± 0.000 | 2.00 | 0.0 | 2 | 1.00 |")
    with pytest.raises(ValueError, match="run that block first"):
        importance.measure_at_equal_time(slow._replace(lines=[]))


def test_losses_are_drawn_and_seeds_that_diverged_are_counted(tmp_path) -> None:
    one = job("shakedrop_cifar", block=1)
    whole = Measured([25.0, 50.0], {"train_loss": [1.0, 3.0], "losses": [[2.0, 1.0], [2.0, 3.0]]}, [])
    broken = Measured([50.0, None], {"train_loss": [1.5, None], "losses": [[2.0, 1.5], [2.5]]}, [])
    seen = view(one, whole, broken)
    table = block_table(seen)
    assert "| 37.50 ± 17.68 | - | - | 2 | 2.000 ± 1.414 | 3.00 | - |" in table
    assert row_of(table, one.block.arms[1].name).endswith("| 1.500 | 1.50 | 1 |")
    shakedrop.draw_losses(list(seen.lines.values()), tmp_path / "losses.png", DataPaths())
    with Image.open(tmp_path / "losses.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def row_of(table: str, name: str) -> str:
    [row] = [line for line in table.splitlines() if line.startswith(f"| {name} |")]
    return row


def test_maps_are_measured_and_drawn(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(attention.LAYERS, "grad_cam", "trunk/conv2")
    monkeypatch.setattr(attention, "MEASURED", 3)
    monkeypatch.setattr(attention, "SHOWN", 3)
    one = job(
        "attention", "--data.name", "synthetic:16x16x3,2,40", "--model", "cnn", "--data.num-examples", "20",
        "--epochs", "1", "--batch-size", "10", "--augment", "--mix", "None",
    )  # fmt: skip
    measured = attention.measure_attention(one)
    metrics = measured.metrics
    assert len(measured.errors) == len(metrics["field_spread"]) == 2
    for method in ("cam", "grad_cam"):
        maps = jax.image.resize(jnp.asarray(metrics[f"{method}_maps"], jnp.float32), (3, 16, 16), "bilinear")
        np.testing.assert_allclose(metrics[f"{method}_entropy"][0], map_entropy(maps).mean(), atol=2e-3)
        np.testing.assert_allclose(metrics[f"{method}_area"][0], map_area(maps).mean(), atol=2e-2)
        assert metrics[f"{method}_entropy"][0] != metrics[f"{method}_entropy"][1]
    field = np.array(metrics["field"])
    assert field.shape == (16, 16)
    assert 0.5 < field.max() <= 1
    assert field[0, 0] == 0 < field[8, 8]
    seen = view(one, measured, measured)
    areas: Any = np.array(metrics["cam_area"])
    mean = f"{areas.mean():.3f} ± {areas.std(ddof=1):.3f}"
    assert f"| {mean} |" in block_table(seen)
    assert f"| {mean} (+0.000 ± 0.000, p 1) |" in block_table(seen)  # the other arm is the same training
    for file in ("cam.png", "grad_cam.png"):
        attention.draw_maps(list(seen.lines.values()), tmp_path / file, DataPaths())
        with Image.open(tmp_path / file) as picture:
            assert np.asarray(picture.convert("L")).std() > 20


def test_widths_are_listed_in_the_order_of_the_network() -> None:
    layer = {"kernel": np.zeros(1), "sigma": np.array([-1.0, 2.0])}
    params = {"trunk": {"stage1_block1": {"branch1": {"conv1": layer}}, "stem": {"conv": layer}}, "classifier": {}}
    assert priors.learned_sigmas(params) == {"stem/conv": 1.5, "stage1_block1/branch1/conv1": 1.5}


def test_the_second_stage_keeps_the_features() -> None:
    config = dataclasses.replace(
        IRIS, data=DataConfig("synthetic:8x8x1,3,120", imbalance=10.0), model="cnn(width=2)", epochs=1, batch_size=32
    )
    [first] = train_population(config, [0]).states
    balanced = dataclasses.replace(config, data=dataclasses.replace(config.data, sampling="class_balanced"))
    assert first is not None
    population = train_population(balanced, [0], trunks=[first])
    [second] = population.finite_states
    jax.tree.map(np.testing.assert_array_equal, first.params["trunk"], second.params["trunk"])
    jax.tree.map(np.testing.assert_array_equal, first.batch_stats, second.batch_stats)
    assert not np.array_equal(first.params["classifier"]["kernel"], second.params["classifier"]["kernel"])


def test_a_rate_near_zero_leaves_the_weights_as_they_start() -> None:
    config = dataclasses.replace(
        IRIS, data=DataConfig("synthetic:8x8x1,3,120"), model="cnn(width=2)", epochs=1, batch_size=64,
        optimizer=OptimizerConfig(learning_rate=1e-30),
    )  # fmt: skip
    population = train_population(config, [0, 1])
    start = map(population.parts.init, map(jax.random.key, [0, 1]))
    for state, first in zip(population.finite_states, start, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-25), state.params, first.params)


def test_both_stages_are_recorded_by_shots() -> None:
    last = len(all_studies()["priors"].blocks_at("cpu")) - 1
    one = job(
        "priors", "--data.name", "synthetic:8x8x1,3,400", "--data.imbalance", "20", "--model", "cnn(width=2)",
        "--epochs", "2", "--batch-size", "32", "--augment", "--mix", "None", block=last,
    )  # fmt: skip
    measured = priors.measure_two_stages(one)
    assert len(measured.errors) == len(measured.metrics["first_stage"]) == 2
    assert None not in measured.errors
    assert "first stage: test error, %" in block_table(view(one, measured))


def test_widths_and_fields_are_in_table_and_picture(tmp_path) -> None:
    one = job("priors", block=4)
    metrics = {
        "sigmas": [{"stem/conv": 0.5}, {"stem/conv": 0.75}],
        "initial_field_spread": [1.0, 2.0],
        "field_spread": [2.0, 3.0],
        "field": np.eye(4).tolist(),
        "step_ratio": 1.25,
    }
    seen = view(one, Measured([25.0, 50.0], metrics | {"step_ratio": 1.0}, []), Measured([25.0, 50.0], metrics, []))
    row = row_of(block_table(seen), one.block.arms[1].name)
    assert row.endswith("| +0.00 ± 0.00 | 1 | 2 | 1.25 | 1.50 ± 0.71 | 2.50 ± 0.71 | 0.50 to 0.75 |")
    priors.draw_widths(list(seen.lines.values()), tmp_path / "widths.png", DataPaths())
    with Image.open(tmp_path / "widths.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


EXACT = np.array([[1.0, 2.0], [3.0, 2.0]])  # two copies of two examples; drawing by the loss: (1 + 9) / 4 = 2.5


def test_exact_scores_gain_all() -> None:
    snapshot = ScoreSnapshot(EXACT, {}, np.zeros(2), batch_size=2)
    np.testing.assert_allclose(snapshot.extra_loss(EXACT), [0.5, 0.0], atol=1e-6)
    assert snapshot.benefit(EXACT) == pytest.approx(1.0)
    assert snapshot.rank_correlation(EXACT) == pytest.approx(0.5)  # 1, and 0 where all are equal


def test_uninformative_scores_gain_nothing_and_false_ones_lose() -> None:
    snapshot = ScoreSnapshot(EXACT, {}, np.zeros(2), batch_size=2)
    assert snapshot.benefit(np.ones((2, 2))) == pytest.approx(0.0, abs=1e-6)
    assert snapshot.benefit(EXACT[::-1]) == pytest.approx(-1.0)
    assert snapshot.rank_correlation(EXACT[::-1]) == pytest.approx(-0.5)


def test_sharp_draws_take_the_largest() -> None:
    snapshot = ScoreSnapshot(EXACT, {}, np.zeros(2), batch_size=2)
    assert snapshot.benefit(EXACT, importance="softmax", temperature=1e-3) == pytest.approx(2.0)


@pytest.mark.parametrize(("last", "expected"), [([5.0, 0.0], 1.0), ([0.0, 5.0], 0.0)])
def test_a_share_is_what_was_hardest(last: list[float], expected: float) -> None:
    snapshot = ScoreSnapshot(EXACT, {}, np.array(last), batch_size=2)
    assert snapshot.benefit_of_share(0.5) == pytest.approx(expected, abs=1e-6)
    assert snapshot.benefit_of_share(1.0) == pytest.approx(1.0)


def test_scores_are_compared_in_one_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cheap_scores, "STEPS", (1, 3))
    monkeypatch.setattr(cheap_scores, "BATCHES", 2)
    one = job(
        "cheap_scores", "--data.name", "synthetic:8x8x3,2,40", "--model", "cnn(width=2)", "--batch-size", "8",
        "--augment", "crop(padding=1)", "--mix", "None", "--strategy", "self_paced(threshold=-1.0, score='stored')",
    )  # fmt: skip
    measured = measure_scores(one._replace(seeds=1))
    assert list(measured.metrics) == ["1", "3"]
    line = make_line(one, "cpu", measured, {})
    scores = measured.metrics["3"]["scores"]
    assert scores["exact"] == (1.0, 1.0)
    assert scores["bfloat16"][0] > 0.5
    text = score_table(line)
    assert f"| half resolution | {measured.metrics['1']['scores']['half resolution'][0]:.2f} | " in text
    assert "after 3 steps" in text


def test_candidates_are_trained_to_the_end_and_judged(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [
        Policy(),
        Policy(("gaussian_noise(stddev=0.1)",)),
        Policy(("gaussian_noise(stddev=5.0)",)),
        Policy((), "mixup"),
    ]
    monkeypatch.setattr(search, "default_candidates", lambda shape: few)
    one = job(
        "search", "--data.name", "iris", "--data.validation", "0.2", "--model", "mlp", "--epochs", "3", "--augment",
        "--mix", "None",
    )  # fmt: skip
    measured = search.measure_candidates(one)
    metrics = measured.metrics
    assert np.shape(metrics["validation"]) == np.shape(metrics["loss"]) == (4, 2, 3)
    assert np.shape(metrics["test"]) == np.shape(metrics["affinity"]) == (4, 2)
    assert metrics["affinity"][0] == [1.0, 1.0]
    line = json.loads(json.dumps(make_line(one, "cpu", measured, {})))
    text = search.regret_table(line)
    assert f"4 candidates, 2 seeds, {metrics['examples']} training examples" in text
    assert "| early validation accuracy |" in text
    search.draw_regrets([line], tmp_path / "regret.png", DataPaths())
    with Image.open(tmp_path / "regret.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5
