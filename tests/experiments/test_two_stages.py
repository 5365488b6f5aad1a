"""Two stages on long-tailed digits, from the command line."""

import json
import shutil

import pytest

from experiments import train
from experiments.run import directory as run_directory
from experiments.run.config import Config, DataConfig, as_json, from_json
from experiments.run.directory import RunDirectory

DATA = ["--data.num-examples", "300", "--data.imbalance", "10", "--model", "cnn(width=2)", "--batch-size", "50"]
FIRST = [*DATA, "--epochs", "1", "--optimizer.average-decay", "0.9", "--quiet"]
SECOND = [*DATA, "--epochs", "2", "--data.sampling", "class_balanced", "--logit-adjustment", "0.5", "--quiet"]


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """A first stage, and a second on its features."""
    first, second = (tmp_path_factory.mktemp("runs") / name for name in ("first", "second"))
    assert train.main([*FIRST, "--run-dir", str(first)]) == 0
    assert train.main([*SECOND, "--features-from", str(first), "--run-dir", str(second)]) == 0
    return first, second


def last_checkpoint(path):
    return max((path / "checkpoints").iterdir(), key=lambda p: int(p.name))


def fingerprints(path, root):
    """What the last checkpoint says of the trunk's leaves."""
    found = json.loads((last_checkpoint(path) / "about/metadata").read_text())["fingerprints"]
    return {p.removeprefix(root): n for p, n in found.items() if p.startswith(root) and "classifier" not in p}


def outcome(path):
    clock = ("seconds", "examples_per_second")
    records = [{k: v for k, v in r.items() if k not in clock} for r in RunDirectory(path).records()]
    return json.loads((path / "summary.json").read_text())["params_sha256"], records


def test_the_second_stage_has_the_averaged_trunk_of_the_first_bit_for_bit(stages):
    first, second = stages
    trunk = fingerprints(second, ".params")
    assert len(trunk) >= 12  # four layers of kernel, scale and shift
    assert trunk == fingerprints(first, ".average['params']")
    assert fingerprints(second, ".batch_stats") == fingerprints(first, ".average['batch_stats']")
    assert json.loads((second / "config.json").read_text())["features_from"] == str(first)
    for record in RunDirectory(second).records():
        assert {"test_medium_shot", "test_few_shot"} <= record.keys()
        assert "test_many_shot" not in record


def test_a_resumed_second_stage_needs_its_own_checkpoint_only(stages, tmp_path, monkeypatch):
    _, second = stages
    copy = tmp_path / "copy"
    shutil.copytree(second, copy)
    (copy / "summary.json").unlink()
    shutil.rmtree(last_checkpoint(copy))
    monkeypatch.setattr(
        "experiments.run.build.restore_trunk_of_run", lambda *_: pytest.fail("the first stage was asked for")
    )
    assert train.main(["--resume", str(copy), "--quiet"]) == 0
    assert outcome(copy) == outcome(second)


@pytest.mark.slow
def test_without_a_checkpoint_the_second_stage_begins_anew_from_the_first(stages, tmp_path):
    _, second = stages
    copy = tmp_path / "copy"
    shutil.copytree(second, copy)
    (copy / "summary.json").unlink()
    shutil.rmtree(copy / "checkpoints")
    assert train.main(["--resume", str(copy), "--quiet"]) == 0
    assert outcome(copy) == outcome(second)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ["--model", "cnn"],
            "--features-from expects a run with the same trunk; in FIRST, model is 'cnn(width=2)', not",
        ),
        (["--features-from", "nowhere"], "nowhere is not a run directory"),
        (["--logit-adjustment", "-1"], "--logit-adjustment in [0, inf); got -1"),
        (["--features-from", "EMPTY"], "there is no checkpoint that can be read in"),
    ],
)
def test_a_first_stage_that_does_not_fit_is_one_sentence_and_leaves_nothing_behind(
    change, sentence, stages, tmp_path, capsys
):
    first, _ = stages
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(first / "config.json", empty)
    change = [str(empty) if word == "EMPTY" else word for word in change]
    arguments = [*SECOND, "--features-from", str(first), *change, "--run-dir", str(tmp_path / "run")]
    before = sorted(first.rglob("*"))
    assert train.main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert sentence.replace("FIRST", str(first)) in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()
    assert sorted(first.rglob("*")) == before
    assert [p.name for p in empty.iterdir()] == ["config.json"]


def test_a_class_without_examples_has_no_prior(tmp_path, capsys):
    few = ["--data.num-examples", "5", "--batch-size", "5", "--logit-adjustment", "1", "--run-dir", str(tmp_path / "r")]
    assert train.main(few) == 2
    assert "log_prior takes at least one example of every class; got 0 of class" in capsys.readouterr().err


def test_a_run_of_a_version_with_fewer_options_can_be_resumed(tmp_path, monkeypatch):
    def before(config):
        data = as_json(config)
        del data["features_from"], data["logit_adjustment"], data["data"]["sampling"]
        return data

    arguments = ["--data.name", "wine", "--model", "mlp", "--augment", "gaussian_noise(stddev=0.1)", "--mix", "mixup",
                 "--epochs", "2", "--quiet", "--run-dir", str(tmp_path / "run")]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(run_directory, "as_json", before)
        assert train.main(arguments) == 0
    expected = outcome(tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    shutil.rmtree(last_checkpoint(tmp_path / "run"))
    assert train.main(["--resume", str(tmp_path / "run"), "--quiet"]) == 0
    assert outcome(tmp_path / "run") == expected


def test_the_options_survive_json(tmp_path):
    config = Config(data=DataConfig(sampling="class_balanced"), logit_adjustment=1.5, features_from=tmp_path)
    assert from_json(json.loads(json.dumps(as_json(config)))) == config
