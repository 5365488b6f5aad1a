"""Studies: how recipes are made, how arms are run, stopped and resumed, and what is said about their lines."""

import itertools
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from PIL import Image

import experiments.studies
from experiments import reproduce, train
from experiments.studies import all_studies, run_missing, train_runs
from experiments.studies.combinations import additivity, average_effects, combined, factorial
from experiments.studies.recipe import arm_options, parsed_config, resolve, without_replaced
from experiments.studies.statistics import Difference, difference_texts, mean_text, paired_difference
from experiments.studies.study import (
    SCALES,
    Arm,
    Block,
    DataPaths,
    PublishedError,
    RunStoppedError,
    ScaleOverrides,
    Study,
)
from experiments.studies.train_population import measure_population
from experiments.studies.verdict import direction, unpublished_text, verdict, verdicts_text
from experiments.studies.view import BlockView

TINY = ("--model", "mlp(hidden=(4,))", "--data.num-examples", "40", "--batch-size", "20")
NAMES = {
    "ricap_cifar", "ricap_networks", "ricap_imagenet", "ricap_beta", "ricap_ablation", "importance_cifar", "self_paced",
    "shakedrop_cifar", "shakedrop_imagenet", "pooling_imagenet", "disentangled_imagenet", "rotation_longtail",
    "search_cifar", "stacked", "stacked_few", "priors", "attention", "cheap_scores", "search",
}  # fmt: skip
ARMS = (
    Arm("plain", ("--augment", "--mix", "None"), published=PublishedError(3.0)),
    Arm("noise", ("--mix", "None"), ("gaussian_noise(stddev={half}.5)",), PublishedError(2.0, 0.5, "W")),
)
OVERRIDES = ScaleOverrides(epochs=2, seeds=2, options=TINY, augment=(), setup="two epochs")
BLOCK = Block("digits", "digits", ARMS, side=8)
TOY = Study("toy", "A toy", "Is noise worse?", "nobody", (BLOCK,), dict.fromkeys(SCALES, OVERRIDES))


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Makes the toy a study, and returns the options that keep its files in a temporary folder, and that folder."""
    known = {**all_studies(), "toy": TOY, "twin": TOY._replace(name="twin")}
    monkeypatch.setattr(experiments.studies, "all_studies", lambda: known)
    return ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path)], tmp_path


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def view(errors, arms, block_name="b"):
    block = Block(block_name, "digits", tuple(arms))
    lines = {name: {"errors": list(values), "metrics": {}, "seeds": len(values)} for name, values in errors.items()}
    return BlockView(TOY, block, "cpu", lines, {})


def test_all_studies_are_there():
    assert set(all_studies()) == NAMES


def test_what_a_later_option_replaces_is_left_out_and_changes_nothing():
    options = ["cifar10-wrn", "--epochs", "7", "--augment", "crop", "flip_left_right", "--optimizer.milestones", "3",
               "--mix", "mixup", "--epochs", "9", "--augment", "crop(padding=2)", "--optimizer.milestones"]  # fmt: skip
    short = without_replaced(options)
    assert short == ["cifar10-wrn", "--epochs", "9", "--augment", "crop(padding=2)", "--optimizer.milestones",
                     "--mix", "mixup"]  # fmt: skip
    assert parsed_config(tuple(short)) == parsed_config(tuple(options))


def test_milestones_and_warm_up_shrink_with_the_epochs():
    study = all_studies()["ricap_cifar"]
    options = arm_options(study, study.blocks[0], Arm("x"), "gpu10")
    assert parsed_config(tuple(options)).optimizer.milestones == (9.0, 18.0, 24.0)


def test_holes_are_half_of_the_images():
    study = all_studies()["ricap_imagenet"]
    cutout = study.blocks[0].arms[1]
    options = {scale: arm_options(study, study.blocks[0], cutout, scale) for scale in SCALES}
    augment = {scale: parsed_config(tuple(words)).augment for scale, words in options.items()}
    assert augment["full"][-1] == "cutout(size=112, fill='mean')"
    assert augment["cpu"] == ("crop(padding=4)", "flip_left_right", "cutout(size=16, fill='mean')")


def test_places_are_put_in_or_asked_for():
    options = ["--data.name", "folder:{tiny_imagenet}"]
    paths = DataPaths(pathlib.Path("D"), pathlib.Path("T"))
    assert resolve(options, paths) == ["--data.name", "folder:T", "--data.data-dir", "D"]
    with pytest.raises(ValueError, match=r"needs --tiny-imagenet; pass it, or leave blocks out by --blocks\."):
        resolve(options, DataPaths())


def test_paired_differences_are_those_of_scipy_over_the_seeds_that_did_not_diverge():
    errors, base = np.array([3.0, 4.0, 6.0, np.nan]), np.array([2.0, 2.5, 5.0, 9.0, 9.0])
    found = paired_difference(errors, base)
    assert found is not None
    assert found.mean == pytest.approx(3.5 / 3)
    assert found.standard_deviation == pytest.approx(np.std([1, 1.5, 1], ddof=1))
    assert found.p == pytest.approx(scipy.stats.ttest_rel(errors[:3], base[:3]).pvalue)
    assert found.seeds == 3
    assert paired_difference(np.array([np.nan]), base) is None
    assert mean_text(errors) == "4.33 ± 1.53"
    assert mean_text(errors[3:]) == "-"


@pytest.mark.parametrize(
    ("mean", "p", "published", "expected"),
    [
        (-1.0, 0.01, -0.5, "confirmed"),
        (1.0, 0.01, -0.5, "contradicted"),
        (-1.0, 0.06, -0.5, "undecided"),
        (-1.0, float("nan"), -0.5, "undecided"),
        (-1.0, 0.01, 0.0, "undecided"),
    ],
)
def test_verdicts(mean, p, published, expected):
    assert verdict(Difference(mean, 0.1, p, 3), published) == expected


def test_one_seed_has_neither_standard_deviation_nor_p():
    assert difference_texts(paired_difference(np.array([2.5]), np.array([1.25]))) == ("+1.25", "-")
    assert difference_texts(Difference(-0.5, 0.25, 0.031, 3)) == ("-0.50 ± 0.25", "0.031")
    assert difference_texts(None) == ("-", "-")


def test_parts_add_up_or_do_not():
    arms = (Arm("none"), Arm("x"), Arm("y"), Arm("x + y", parts=("x", "y")), Arm("y + x", parts=("y", "x")))
    errors = {
        "none": [10.0, 11.0, 12.0],
        "x": [9.0, 10.0, 11.0],  # -1
        "y": [8.0, 9.0, 10.0, 99.0],  # -2
        "x + y": [9.0, 10.5, 11.0],  # -1, -0.5, -1 where the sum is -3
        "y + x": [7.5, 7.5, 9.0],  # -2.5, -3.5, -3
    }
    text = additivity(view(errors, arms))
    assert "Of 2 combinations, at p < 0.05, 1 cannot be distinguished from the sum of their parts, 0 have less" in text
    p = scipy.stats.ttest_rel([2.0, 2.5, 2.0], [0.0] * 3).pvalue
    assert f"| x + y | -3.00 | +2.17 ± 0.29 | {p:.2g} |" in text
    assert "| y + x | -3.00 | +0.00 ± 0.50 | 1 |" in text
    assert [arm.name for arm, *_ in combined(view(dict(list(errors.items())[:4]), arms))] == ["x + y"]
    assert additivity(view(dict(list(errors.items())[:3]), arms)) == ""
    [stacked] = all_studies()["stacked"].blocks
    assert sum(bool(arm.parts) for arm in stacked.arms) == 11


def test_average_effects_are_those_of_a_linear_model():
    [block] = all_studies()["stacked"].blocks
    names = ["RICAP", "importance sampling", "ShakeDrop", "Gaussian pooling"]
    held = np.array([[name in arm.name.split(" + ") for name in names] for arm in block.arms], float) - 0.5
    errors = np.random.default_rng(0).normal(50, 5, (len(block.arms), 3))
    measured = {arm.name: values for arm, values in zip(block.arms, errors, strict=True)}
    # Coordinates of -1/2 and 1/2 make the coefficients differences, and those of products differences of differences.
    pairs = list(itertools.combinations(range(4), 2))
    columns = [np.ones(16), *held.T, *(held[:, i] * held[:, j] for i, j in pairs)]
    coefficients = np.linalg.lstsq(np.stack(columns, 1), errors)[0][1:]
    found = average_effects(view(measured, block.arms))
    assert [name for name, _ in found] == [*names, *(f"{names[i]} x {names[j]}" for i, j in pairs)]
    np.testing.assert_allclose([effect.mean for _, effect in found], coefficients.mean(axis=1))
    np.testing.assert_allclose([effect.standard_deviation for _, effect in found], coefficients.std(axis=1, ddof=1))
    p = scipy.stats.ttest_rel(coefficients, 0 * coefficients, axis=1).pvalue
    np.testing.assert_allclose([effect.p for _, effect in found], p)
    assert factorial(view(measured, block.arms)).count("\n| ") == 12
    measured.popitem()
    assert factorial(view(measured, block.arms)) == ""
    assert factorial(view({"plain": [1.0], "noise": [2.0]}, ARMS)) == ""


def test_differences_are_summed_up_by_their_direction():
    published = Arm("none", published=PublishedError(9.0)), Arm("w", published=PublishedError(8.0))
    errors = {
        "none": [10.0, 11.0, 12.0],
        "x": [9.0, 10.1, 11.0],
        "y": [11.0, 12.1, 13.0],
        "z": [9.0, 12.5, 12.0],
        "w": [9.0, 10.1, 11.0],
    }
    seen = view(errors, (published[0], *map(Arm, "xyz"), published[1]))
    text = unpublished_text(seen)
    assert text.endswith(
        "that the source does not publish, at p < 0.05: less error: *x*; more error: *y*; undecided: *z*."
    )
    assert verdicts_text([seen]).endswith("confirmed: *w*.")
    assert verdicts_text([view(errors, map(Arm, errors))]) == ""
    assert unpublished_text(view({"none": [1.0]}, published)) == ""
    assert direction(Difference(-1.0, 0.1, float("nan"), 1)) == "undecided"


def test_a_study_is_run_stopped_and_finished(toy, monkeypatch, capsys):
    places, folder = toy
    path = folder / "toy" / "lines.jsonl"
    run = train_runs.finished_run

    def stopped_in_the_second_arm(directory, options):
        if any("noise" in option for option in options):
            raise RunStoppedError(130)
        return run(directory, options)

    monkeypatch.setattr(train_runs, "finished_run", stopped_in_the_second_arm)
    assert reproduce.main(["toy", *places]) == 130
    assert f"1 arms are in {path}. The same command resumes." in capsys.readouterr().err
    assert [line["arm"] for line in read(path)] == ["plain"]
    monkeypatch.setattr(train_runs, "finished_run", run)
    assert reproduce.main(["toy", *places]) == 0
    out = capsys.readouterr().out
    assert "1 of 2 arms to run" in out
    assert "[1/1] digits, noise: seed 1" in out
    plain, noise = read(path)
    assert plain["metrics"]["epochs"] == noise["metrics"]["epochs"] == 2
    assert len(plain["errors"]) == len(noise["errors"]) == len(noise["seconds"]) == noise["seeds"] == 2
    assert "'gaussian_noise(stddev=4.5)'" in noise["command"]
    assert noise["data"] == {"name": "digits", "num_examples": 40}
    text = path.with_name("page.md").read_text()
    gap = np.array(noise["errors"]) - np.array(plain["errors"])
    row = f"| noise | 2.00 ± 0.50 [W] | {mean_text(np.array(noise['errors']))} | -1.00 | "
    assert row + f"{gap.mean():+.2f} ± {gap.std(ddof=1):.2f} |" in text
    assert row in out
    with Image.open(path.with_name("differences.png")) as picture:
        assert np.asarray(picture.convert("L")).std() > 10
    assert reproduce.main(["toy", *places]) == 0
    assert "seed " not in capsys.readouterr().out
    # More seeds are added to those that are there, fewer change nothing.
    assert reproduce.main(["toy", "--seeds", "3", *places]) == 0
    assert re.search(r"\[2/2, about \d+ min left\] digits, noise: seed 2", capsys.readouterr().out)
    longer = read(path)
    assert [line["arm"] for line in longer] == ["plain", "noise"]
    assert [len(line["errors"]) for line in longer] == [3, 3]
    assert [line["errors"][:2] for line in longer] == [plain["errors"], noise["errors"]]
    assert len(list(folder.glob("runs/*"))) == 6
    assert reproduce.main(["toy", "--seeds", "1", *places]) == 0
    assert read(path) == longer
    # What another study needs, too, is not run again.
    monkeypatch.setattr(train, "main", lambda _: pytest.fail("it was run again"))
    assert reproduce.main(["twin", *places]) == 0
    assert [line["errors"] for line in read(folder / "twin" / "lines.jsonl")] == [plain["errors"], noise["errors"]]


def test_recorded_figures_are_shown_next_to_new_ones_and_do_not_count_as_done(toy, monkeypatch, capsys):
    places, folder = toy
    recorded = folder / "recorded"
    monkeypatch.setattr(run_missing, "RECORDED", recorded)
    assert reproduce.main(["toy", "--seeds", "1", *places[:2], "--results", str(recorded)]) == 0
    assert "recorded, %" not in (recorded / "toy" / "page.md").read_text()
    [_, noise] = read(recorded / "toy" / "lines.jsonl")
    capsys.readouterr()
    assert reproduce.main(["toy", *places, "--", "--batch-size", "10"]) == 0
    assert "scale cpu --batch-size 10: 2 of 2 arms to run" in capsys.readouterr().out
    page = (folder / "toy" / "page.md").read_text()
    assert "## Scale: cpu --batch-size 10" in page
    assert "| recorded, % |" in page
    assert re.search(rf"\| noise \| 2.00 ± 0.50 \[W\] \| [\d.]+ ± [\d.]+ \| {noise['errors'][0]:.2f} \|", page)
    lines = read(folder / "toy" / "lines.jsonl")
    assert all("--batch-size 10" in line["command"] for line in lines)
    assert reproduce.main(["toy", *places]) == 0
    assert len(read(folder / "toy" / "lines.jsonl")) == 4


def test_seeds_can_be_trained_together(toy, monkeypatch):
    places, folder = toy
    together = TOY.blocks[0]._replace(measure=measure_population)
    monkeypatch.setattr(experiments.studies, "all_studies", lambda: {"toy": TOY._replace(blocks=(together,))})
    assert reproduce.main(["toy", "--scale", "gpu10", *places]) == 0
    lines = read(folder / "toy" / "lines.jsonl")
    assert [(line["scale"], line["seeds"], len(line["errors"])) for line in lines] == [("gpu10", 2, 2)] * 2
    assert lines[0]["metrics"]["augmented_last"] == [1.0, 1.0]
    assert not (folder / "runs").exists()


def test_the_time_of_both_stages_counts_and_the_error_of_the_second(toy, monkeypatch):
    places, folder = toy
    monkeypatch.setattr(experiments.studies, "all_studies", lambda: {"toy": TOY._replace(second_stage=True)})
    assert reproduce.main(["toy", "--seeds", "1", *places]) == 0
    lines = read(folder / "toy" / "lines.jsonl")
    summaries = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("runs/*/summary.json")}
    pairs = {name: (summaries[name], summaries[f"{name}-second"]) for name in summaries if not name.endswith("second")}
    assert len(lines) == len(pairs) == 2
    expected = {
        (100 * (1 - second["last_test_accuracy"]), first["seconds"] + second["seconds"])
        for first, second in pairs.values()
    }
    assert {(line["errors"][0], line["seconds"][0]) for line in lines} == expected
    assert [line["metrics"]["epochs"] for line in lines] == [3, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["ricap_cifra"], "ricap_cifar"),
        (["toy", "--seeds", "0"], "experiments.reproduce takes --seeds of at least 1; got 0."),
        (["toy", "--blocks", "cifar"], "--blocks takes some of digits; got cifar."),
        (["attention", "--scale", "full"], "attention has --scale cpu; got full."),
        (["pooling_imagenet"], "this study needs --tiny-imagenet; pass it"),
    ],
)
def test_bad_input_gets_a_sentence(options, message, toy, capsys):
    places, folder = toy
    assert reproduce.main([*options, *places]) == 2
    assert message in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_without_a_name_all_studies_are_listed(capsys):
    assert reproduce.main([]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {name} +\S", out, re.M) for name in NAMES)


def test_schema_and_pages_need_none_of_the_heavy_packages():
    code = (
        "import sys, experiments.studies.study, experiments.studies.report, experiments.studies.jsonl; "
        "print([name for name in ('tyro', 'tensorflow_datasets', 'grain', 'matplotlib') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
