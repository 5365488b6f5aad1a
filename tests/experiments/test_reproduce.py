"""Tables of papers: what they hold, how they are run and what is made of their lines."""

import itertools
import json
import pathlib
import re

import numpy as np
import pytest
import scipy.stats
from PIL import Image

import experiments.studies.papers.__main__ as reproduce
from experiments import train
from experiments.run.build import built_model
from experiments.studies.jsonl import Difference, paired_difference, read_jsonl
from experiments.studies.papers.additivity import additivity, combined
from experiments.studies.papers.earlier import earlier_lines
from experiments.studies.papers.factorial import average_effects, factorial
from experiments.studies.papers.lines import difference, difference_texts, line_of
from experiments.studies.papers.page import page, printed_difference, printed_text, unprinted
from experiments.studies.papers.recipe import Places, arguments, located, without_replaced
from experiments.studies.papers.runs import RunStoppedError
from experiments.studies.papers.table import SCALES, Arm, Block, Cut, Figure, Table
from experiments.studies.papers.tables import TABLES
from experiments.studies.papers.verdict import direction, verdict
from experiments.train import parsed

RESULTS = pathlib.Path(__file__).parent.parent.parent / "results"
NAMES = {
    "ricap_cifar", "ricap_networks", "ricap_imagenet", "ricap_beta", "ricap_ablation", "importance_cifar", "self_paced",
    "shakedrop_cifar", "shakedrop_imagenet", "pooling_imagenet", "disentangled_imagenet", "rotation_longtail",
    "search_cifar", "stacked", "stacked_few",
}  # fmt: skip
TINY = ("--model", "mlp(hidden=(4,))", "--data.num-examples", "40", "--batch-size", "20")
TOY = Table(
    "toy",
    "A toy",
    "Is noise worse?",
    "nobody",
    (
        Block(
            "digits",
            "digits",
            (
                Arm("plain", ("--augment", "--mix", "None"), figure=Figure(3.0)),
                Arm("noise", ("--mix", "None"), ("gaussian_noise(stddev={half}.5)",), Figure(2.0, 0.5, "W")),
            ),
            side=8,
        ),
    ),
    {scale: Cut(epochs=2, seeds=2, options=TINY, augment=(), about="two epochs") for scale in SCALES},
)


def test_all_tables_are_there_with_their_sources():
    assert set(TABLES) == NAMES
    for table in TABLES.values():
        assert table.question.endswith("?")
        assert len({block.name for block in table.blocks}) == len(table.blocks)
        for block in table.blocks:
            assert len({arm.name for arm in block.arms}) == len(block.arms) >= 2


@pytest.mark.parametrize("name", sorted(NAMES))
def test_recipes_are_understood_and_ask_the_same_at_every_scale(name):
    table = TABLES[name]
    for scale in SCALES:
        blocks = table.blocks_at(scale)
        assert blocks
        for block in blocks:
            options = [arguments(table, block, arm, scale) for arm in block.arms]
            assert len(set(map(tuple, options))) == len(options)
            for each in options:
                config = parsed([option for option in each if option != "{policy}"])[1].config
                built_model(config, 10)
                if scale != "full":
                    assert config.epochs == table.cuts[scale].epochs
                    assert all(milestone < config.epochs for milestone in config.optimizer.milestones)


def test_the_figures_of_the_papers_stand_as_printed():
    blocks = {(table.name, block.name): block for table in TABLES.values() for block in table.blocks}
    cifar = {arm.name: arm.figure for arm in blocks["ricap_cifar", "CIFAR-10"].arms}
    assert cifar["RICAP"] == Figure(2.85, 0.06, "S")
    assert cifar["crop and flip"] == Figure(3.89)
    pooled = blocks["pooling_imagenet", "ResNet-50"]
    assert [arm.figure and arm.figure.value for arm in pooled.arms[:2]] == [23.53, 21.37]
    assert printed_difference(pooled, pooled.arms[1]) == pytest.approx(-2.16)
    shaken = blocks["shakedrop_cifar", "ResNet-110"]
    assert [printed_text(arm.figure) for arm in shaken.arms] == ["27.42 [W]", "24.07 [W]", "23.74 [W]"]


def test_what_a_later_option_replaces_is_not_said_and_changes_nothing():
    options = ["cifar10-wrn", "--epochs", "7", "--augment", "crop", "flip_left_right", "--optimizer.milestones", "3",
               "--mix", "mixup", "--epochs", "9", "--augment", "crop(padding=2)", "--optimizer.milestones"]  # fmt: skip
    short = without_replaced(options)
    assert short == ["cifar10-wrn", "--epochs", "9", "--augment", "crop(padding=2)", "--optimizer.milestones",
                     "--mix", "mixup"]  # fmt: skip
    assert parsed(short)[1].config == parsed(options)[1].config


def test_milestones_and_warm_up_shrink_with_the_epochs():
    options = arguments(TABLES["ricap_cifar"], TABLES["ricap_cifar"].blocks[0], Arm("x"), "gpu10")
    assert parsed(options)[1].config.optimizer.milestones == (9.0, 18.0, 24.0)


def test_holes_are_half_of_the_images():
    table = TABLES["ricap_imagenet"]
    cutout = table.blocks[0].arms[1]
    augment = {scale: parsed(arguments(table, table.blocks[0], cutout, scale))[1].config.augment for scale in SCALES}
    assert augment["full"][-1] == "cutout(size=112, fill='mean')"
    assert augment["cpu"] == ("crop(padding=4)", "flip_left_right", "cutout(size=16, fill='mean')")


def test_places_are_put_in_or_asked_for():
    options = ["--data.name", "folder:{tiny_imagenet}"]
    places = Places(pathlib.Path("D"), pathlib.Path("T"))
    assert located(options, places) == ["--data.name", "folder:T", "--data.data-dir", "D"]
    with pytest.raises(ValueError, match=r"needs --tiny-imagenet; none is given\."):
        located(options, Places())


def test_paired_differences_are_those_of_scipy():
    errors, base = np.array([3.0, 4.0, 6.0]), np.array([2.0, 2.5, 5.0, 9.0])
    found = paired_difference(errors, base)
    assert found.mean == pytest.approx(3.5 / 3)
    assert found.deviation == pytest.approx(np.std([1, 1.5, 1], ddof=1))
    assert found.p == pytest.approx(scipy.stats.ttest_rel(errors, base[:3]).pvalue)
    assert found.seeds == 3


@pytest.mark.parametrize(
    ("mean", "p", "printed", "expected"),
    [
        (-1.0, 0.01, -0.5, "confirmed"),
        (1.0, 0.01, -0.5, "contradicted"),
        (-1.0, 0.06, -0.5, "undecided"),
        (-1.0, float("nan"), -0.5, "undecided"),
        (-1.0, 0.01, 0.0, "undecided"),
    ],
)
def test_verdicts(mean, p, printed, expected):
    assert verdict(Difference(mean, 0.1, p, 3), printed) == expected


def test_one_seed_has_neither_deviation_nor_p():
    [seed] = np.random.default_rng(0).normal(size=(1,))
    assert difference_texts(paired_difference(np.array([seed + 1.25]), np.array([seed]))) == ("+1.25", "-")
    assert difference_texts(Difference(-0.5, 0.25, 0.031, 3)) == ("-0.50 ± 0.25", "0.031")
    assert difference_texts(None) == ("-", "-")


def test_parts_add_up_or_do_not():
    block = Block(
        "b", "digits", (Arm("none"), Arm("x"), Arm("y"), Arm("x + y", parts=("x", "y")), Arm("y + x", parts=("y", "x")))
    )
    errors = {
        "none": [10.0, 11.0, 12.0],
        "x": [9.0, 10.0, 11.0],  # -1
        "y": [8.0, 9.0, 10.0, 99.0],  # -2
        "x + y": [9.0, 10.5, 11.0],  # -1, -0.5, -1 where the sum is -3
        "y + x": [7.5, 7.5, 9.0],  # -2.5, -3.5, -3
    }
    lines = [{"scale": "cpu", "block": "b", "arm": arm, "errors": values} for arm, values in errors.items()]
    text = additivity(lines, "cpu", block)
    assert "Of 2 combinations, at p < 0.05, 1 cannot be told from the sum of their parts, 0 err less, 1 more." in text
    p = scipy.stats.ttest_rel([2.0, 2.5, 2.0], [0.0] * 3).pvalue
    assert f"| x + y | -3.00 | +2.17 ± 0.29 | {p:.2g} |" in text
    assert "| y + x | -3.00 | +0.00 ± 0.50 | 1 |" in text
    assert [arm.name for arm, *_ in combined(lines[:4], "cpu", block)] == ["x + y"]
    assert additivity(lines[:3], "cpu", block) == ""
    [stacked] = TABLES["stacked"].blocks
    assert sum(bool(arm.parts) for arm in stacked.arms) == 11


def test_average_effects_are_those_of_a_linear_model():
    [block] = TABLES["stacked"].blocks
    names = ["RICAP", "importance sampling", "ShakeDrop", "Gaussian pooling"]
    held = np.array([[name in arm.name.split(" + ") for name in names] for arm in block.arms], float) - 0.5
    errors = np.random.default_rng(0).normal(50, 5, (len(block.arms), 3))
    lines = [
        {"scale": "cpu", "block": block.name, "arm": arm.name, "errors": list(values)}
        for arm, values in zip(block.arms, errors, strict=True)
    ]
    # Coordinates of -1/2 and 1/2 make the coefficients differences, and those of products differences of differences.
    pairs = list(itertools.combinations(range(4), 2))
    columns = [np.ones(16), *held.T, *(held[:, i] * held[:, j] for i, j in pairs)]
    coefficients = np.linalg.lstsq(np.stack(columns, 1), errors)[0][1:]
    found = average_effects(lines, "cpu", block)
    assert [name for name, _ in found] == [*names, *(f"{names[i]} x {names[j]}" for i, j in pairs)]
    np.testing.assert_allclose([effect.mean for _, effect in found], coefficients.mean(axis=1))
    np.testing.assert_allclose([effect.deviation for _, effect in found], coefficients.std(axis=1, ddof=1))
    p = scipy.stats.ttest_rel(coefficients, 0 * coefficients, axis=1).pvalue
    np.testing.assert_allclose([effect.p for _, effect in found], p)
    assert factorial(lines, "cpu", block).count("\n| ") == 12
    assert factorial(lines[:-1], "cpu", block) == ""
    assert factorial(lines, "cpu", TABLES["ricap_beta"].blocks[0]) == ""


def test_what_no_paper_prints_is_said_by_its_direction():
    block = Block("b", "digits", (Arm("none", figure=Figure(9.0)), *map(Arm, "xyz"), Arm("w", figure=Figure(8.0))))
    errors = {
        "none": [10.0, 11.0, 12.0],
        "x": [9.0, 10.1, 11.0],
        "y": [11.0, 12.1, 13.0],
        "z": [9.0, 12.5, 12.0],
        "w": [9.0, 10.1, 11.0],  # printed
    }
    lines = [{"scale": "cpu", "block": "b", "arm": arm, "errors": values} for arm, values in errors.items()]
    said = unprinted(lines, "cpu", block)
    assert said.endswith("at p < 0.05: less error: x; more error: y; undecided: z.")
    assert unprinted(lines[:1], "cpu", block) == ""
    assert direction(Difference(-1.0, 0.1, float("nan"), 1)) == "undecided"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_pages_in_results_are_those_of_their_lines_and_these_of_the_tables(name):
    table, path = TABLES[name], RESULTS / "reproduce" / f"{name}.jsonl"
    lines = read_jsonl(path)
    assert page(table, lines) == path.with_suffix(".md").read_text()
    for scale in SCALES:
        for block in table.blocks_at(scale):
            for arm in block.arms:
                line = line_of(lines, scale, block, arm)
                if line is not None and "earlier" not in line:
                    assert line["command"] == reproduce.command_of(arguments(table, block, arm, scale))


def test_what_was_measured_before_is_taken_over():
    found = earlier_lines("ricap_cifar", RESULTS)
    assert [line["arm"] for line in found] == ["crop and flip", "cutout", "mixup", "RICAP"]
    table, block = TABLES["ricap_cifar"], TABLES["ricap_cifar"].blocks[0]
    ours = difference(found, "cpu", block, block.arms[3])
    quoted = re.search(r"\| ricap \| 40.73 ± 0.33 \| \+(\d\.\d\d)", (RESULTS / "cifar10_mixing.md").read_text())
    assert quoted
    assert ours is not None
    assert f"{ours.mean:.2f}" == quoted[1]
    assert "contradicted: cutout, mixup, RICAP." in page(table, found).replace("\n", " ")
    command = reproduce.Command("ricap_cifar")
    assert reproduce.to_run(table, command, found) == []
    for name, blocks in {"importance_cifar": 2, "self_paced": 2, "shakedrop_cifar": 1, "stacked": 0}.items():
        assert len({line["block"] for line in earlier_lines(name, RESULTS)}) == blocks
        known = {block.name: [arm.name for arm in block.arms] for block in TABLES[name].blocks_at("cpu")}
        assert all(line["arm"] in known[line["block"]] for line in earlier_lines(name, RESULTS))


def test_a_table_is_run_stopped_and_finished(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(TABLES, "toy", TOY)
    places = ["--runs", str(tmp_path / "runs"), "--results", str(tmp_path)]
    path = tmp_path / "reproduce" / "toy.jsonl"
    run = reproduce.finished

    def stopped_in_the_second_arm(directory, options):
        if any("noise" in option for option in options):
            raise RunStoppedError(130)
        return run(directory, options)

    monkeypatch.setattr(reproduce, "finished", stopped_in_the_second_arm)
    assert reproduce.main(["toy", *places]) == 130
    assert f"1 arms are in {path}." in capsys.readouterr().err
    assert [json.loads(line)["arm"] for line in path.read_text().splitlines()] == ["plain"]
    monkeypatch.setattr(reproduce, "finished", run)
    assert reproduce.main(["toy", *places]) == 0
    said = capsys.readouterr().out
    assert "plain" not in said
    assert "digits, noise (1 of 1 arms), seed 1" in said
    plain, noise = (json.loads(line) for line in path.read_text().splitlines())
    assert plain["epochs"] == noise["epochs"] == 2
    assert len(plain["errors"]) == len(noise["errors"]) == len(noise["seconds"]) == 2
    assert "'gaussian_noise(stddev=4.5)'" in noise["command"]
    text = path.with_suffix(".md").read_text()
    gap = np.array(noise["errors"]) - np.array(plain["errors"])
    assert f"| noise | 2.00 ± 0.50 [W] | {np.mean(noise['errors']):.2f}" in text
    assert f"| -1.00 | {gap.mean():+.2f} ± {gap.std(ddof=1):.2f} |" in text
    with Image.open(path.with_suffix(".png")) as picture:
        assert np.asarray(picture.convert("L")).std() > 10
    assert reproduce.main(["toy", *places]) == 0
    assert "seed" not in capsys.readouterr().out
    # More seeds are added to those that are there, fewer change nothing.
    assert reproduce.main(["toy", "--seeds", "3", *places]) == 0
    assert "digits, noise (2 of 2 arms" in capsys.readouterr().out
    longer = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["arm"] for line in longer] == ["plain", "noise"]
    assert [len(line["errors"]) for line in longer] == [3, 3]
    assert [line["errors"][:2] for line in longer] == [plain["errors"], noise["errors"]]
    assert len(list(tmp_path.glob("runs/*"))) == 6
    assert reproduce.main(["toy", "--seeds", "1", *places]) == 0
    assert [json.loads(line) for line in path.read_text().splitlines()] == longer
    # What another table asks for, too, is not run again.
    monkeypatch.setitem(TABLES, "twin", TOY._replace(name="twin"))
    monkeypatch.setattr(train, "main", lambda _: pytest.fail("it was run again"))
    assert reproduce.main(["twin", *places]) == 0
    twins = [json.loads(line) for line in (tmp_path / "reproduce" / "twin.jsonl").read_text().splitlines()]
    assert [line["errors"] for line in twins] == [plain["errors"], noise["errors"]]


def test_the_time_of_both_stages_counts_and_the_error_of_the_second(tmp_path, monkeypatch):
    monkeypatch.setitem(TABLES, "toy", TOY._replace(second_stage=True))
    assert reproduce.main(["toy", "--seeds", "1", "--runs", str(tmp_path / "runs"), "--results", str(tmp_path)]) == 0
    lines = [json.loads(line) for line in (tmp_path / "reproduce" / "toy.jsonl").read_text().splitlines()]
    summaries = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("runs/*/summary.json")}
    pairs = {name: (summaries[name], summaries[f"{name}-second"]) for name in summaries if not name.endswith("second")}
    assert len(lines) == len(pairs) == 2
    expected = {
        (100 * (1 - second["last_test_accuracy"]), first["seconds"] + second["seconds"])
        for first, second in pairs.values()
    }
    assert {(line["errors"][0], line["seconds"][0]) for line in lines} == expected
    assert [line["epochs"] for line in lines] == [3, 3]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["ricap_cifra"], "ricap_cifar"),
        (["toy", "--seeds", "0"], "experiments.studies.papers takes --seeds of at least 1; got 0."),
        (["toy", "--blocks", "cifar"], "--blocks takes some of digits; got cifar."),
    ],
)
def test_bad_input_gets_a_sentence(options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(TABLES, "toy", TOY)
    assert reproduce.main([*options, "--results", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
