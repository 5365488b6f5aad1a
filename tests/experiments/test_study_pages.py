"""What is recorded of the studies: every line has the schema and a study's recipe, every page is made of its lines."""

import json
import math
import pathlib
import re
import shlex

import pytest

from experiments.run.build import build_model
from experiments.run.config import DataConfig
from experiments.studies import all_studies, report
from experiments.studies.jsonl import read_jsonl
from experiments.studies.papers.importance import EQUAL_TIME
from experiments.studies.recipe import arm_options, data_options, parsed_config
from experiments.studies.study import LINE_FIELDS, SCALES, PublishedError, arm_key, train_command
from experiments.studies.view import block_views

RESULTS = pathlib.Path(__file__).parents[2] / "results"
STUDIES = all_studies()
# That a set of ShakeDrop does not suit an ending of the blocks is what a study measures.
pytestmark = pytest.mark.filterwarnings("ignore:.*ShakeDrop of negative alpha")
every_study = pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)


def lines_of(study):
    return read_jsonl(RESULTS / study.name / "lines.jsonl")


def test_every_study_is_recorded_and_every_folder_is_a_study():
    assert {path.parent.name for path in RESULTS.glob("*/lines.jsonl")} == set(STUDIES)
    assert len(STUDIES) == 19


@every_study
def test_pages_are_made_of_their_lines(study):
    folder = RESULTS / study.name
    reading = (folder / "reading.md").read_text()
    assert (folder / "page.md").read_text() == report.page(study, lines_of(study), [], reading)
    pictures = report.picture_files(study, lines_of(study))
    assert {path.name for path in folder.glob("*.png")} == set(pictures)
    assert all(f"]({picture})" in (folder / "page.md").read_text() for picture in pictures)


@every_study
def test_lines_have_the_schema(study):
    lines = lines_of(study)
    assert len({arm_key(line) for line in lines}) == len(lines) > 0
    for line in lines:
        assert tuple(line) == LINE_FIELDS
        assert line["study"] == study.name
        assert line["scale"] in SCALES
        assert line["seeds"] >= 1
        assert len(line["errors"]) == line["seeds"] or (study.block_text is not None and line["errors"] == [])
        assert all(error is None or 0 <= error <= 100 for error in line["errors"])
        assert isinstance(line["metrics"], dict)
        assert all(math.isfinite(seconds) and seconds > 0 for seconds in line["seconds"])
        assert len(line["seconds"]) in (0, 1, line["seeds"])
        assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?", line["commit"])
        assert {"jax", "jaxaug", "numpy"} <= set(line["versions"])
        assert re.fullmatch(r"3\.\d+\.\d+", line["python"])
        assert isinstance(line["device"], str)
        assert line["cpus"] >= 1
        assert line["setup"]
        assert set(line["data"]) <= set(vars(DataConfig()))
        assert "NaN" not in json.dumps(line)


@every_study
def test_lines_are_of_the_recipes_of_the_study_and_all_are_on_the_page(study):
    lines = lines_of(study)
    labels = dict.fromkeys(line["scale"] for line in lines)
    shown = [view for label in labels for view in block_views(study, lines, [], label)]
    assert sum(len(view.arms) for view in shown) == len(lines)
    for view in shown:
        for arm in view.arms:
            line, options = view.lines[arm.name], arm_options(study, view.block, arm, view.scale)  # pyright: ignore[reportArgumentType]
            if view.block.name.endswith(EQUAL_TIME):
                options[options.index("--epochs") + 1] = str(line["metrics"]["epochs"])
            assert sorted(line["command"].split()) == sorted(train_command(options).split())
            assert line["data"] == data_options(options)


@every_study
def test_commands_are_understood(study):
    for command in {line["command"] for line in lines_of(study)}:
        python, m, module, *options = shlex.split(command)
        assert (python, m, module) == ("python", "-m", "experiments.train")
        build_model(parsed_config(tuple(option for option in options if option != "{policy}")), 10)


@every_study
def test_studies_are_well_formed(study):
    assert study.question.endswith("?")
    assert study.scales_used()
    for scale in study.scales_used():
        blocks = study.blocks_at(scale)
        assert len({block.name for block in blocks}) == len(blocks)
        for block in blocks:
            assert len({arm.name for arm in block.arms}) == len(block.arms)
            options = [arm_options(study, block, arm, scale) for arm in block.arms]
            assert len(set(map(tuple, options))) == len(options)
            for each in options:
                config = parsed_config(tuple(option for option in each if option != "{policy}"))
                build_model(config, 10)
                epochs = study.overrides(block, scale).epochs
                assert epochs in (None, config.epochs)
                assert all(milestone < config.epochs for milestone in config.optimizer.milestones)


def test_published_figures_are_as_printed():
    blocks = {(study.name, block.name): block for study in STUDIES.values() for block in study.blocks_at("full")}
    cifar = {arm.name: arm.published for arm in blocks["ricap_cifar", "CIFAR-10"].arms}
    assert cifar["RICAP"] == PublishedError(2.85, 0.06, "S")
    assert cifar["crop and flip"] == PublishedError(3.89)
    pooled = blocks["pooling_imagenet", "ResNet-50"]
    assert [arm.published and arm.published.value for arm in pooled.arms[:2]] == [23.53, 21.37]
    shaken = blocks["shakedrop_cifar", "ResNet-110"]
    assert [report.published_text(arm.published) for arm in shaken.arms] == ["27.42 [W]", "24.07 [W]", "23.74 [W]"]


def test_the_answers_link_every_page():
    text = (RESULTS / "README.md").read_text()
    links = set(re.findall(r"\]\(([\w/]+\.md)\)", text))
    assert {str(path.relative_to(RESULTS)) for path in RESULTS.rglob("*.md")} - {"README.md"} == links | {
        str(path.relative_to(RESULTS)) for path in RESULTS.glob("*/reading.md")
    }
