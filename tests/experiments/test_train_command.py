"""The train command, called in this process."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from experiments import train
from experiments.run.directory import RunDirectory

WINE = ["--data.name", "wine", "--model", "mlp", "--augment", "gaussian_noise(stddev=0.1)", "--mix", "mixup",
        "--batch-size", "32", "--epochs", "3", "--quiet"]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "wine"
    assert train.main([*WINE, "--run-dir", str(path)]) == 0
    return path


def test_a_run_directory_holds_what_the_run_was_and_what_it_gave(finished):
    assert sorted(p.name for p in finished.iterdir()) == [
        "checkpoints", "config.json", "curves.png", "environment.json", "metrics.jsonl", "summary.json",
    ]  # fmt: skip
    records = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in records] == [1, 2, 3]
    steps = -(-142 // 32)
    assert [r["step"] for r in records] == [steps, 2 * steps, 3 * steps]
    for name in ("train_loss", "train_accuracy", "train_top5", "test_loss", "test_accuracy", "test_top5",
                 "examples_per_second", "seconds", "augmented"):  # fmt: skip
        assert all(np.isfinite(r[name]) for r in records), name
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["last_test_accuracy"] == records[-1]["test_accuracy"]
    assert summary["best_test_accuracy"] == max(r["test_accuracy"] for r in records)
    assert len(summary["params_sha256"]) == 64
    environment = json.loads((finished / "environment.json").read_text())
    assert {"jax", "flax", "numpy"} <= environment["versions"].keys()
    assert json.loads((finished / "config.json").read_text())["data"]["name"] == "wine"
    with Image.open(finished / "curves.png") as picture:
        assert picture.width > 500


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(finished, tmp_path):
    digest = json.loads((finished / "summary.json").read_text())["params_sha256"]
    for seed, same in (("0", True), ("1", False)):
        assert train.main([*WINE, "--seed", seed, "--run-dir", str(tmp_path / seed)]) == 0
        again = json.loads((tmp_path / seed / "summary.json").read_text())["params_sha256"]
        assert (again == digest) is same


def test_a_run_directory_is_never_overwritten(finished, capsys):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    assert train.main([*WINE, "--run-dir", str(finished)]) == 2
    assert "is not empty" in (error := capsys.readouterr().err)
    assert f"--resume {finished}" in error
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before


def test_resuming_a_run_that_has_ended_says_so(finished, capsys):
    assert train.main(["--resume", str(finished)]) == 0
    assert "is already finished" in capsys.readouterr().out


def unfinished_copy(finished, path):
    """A copy of the run, as if it had been killed just before its last checkpoint was complete."""
    shutil.copytree(finished, path)
    (path / "summary.json").unlink()
    shutil.rmtree(path / "checkpoints" / "15")
    return path


def test_resuming_drops_what_came_after_the_checkpoint_and_measures_it_again(finished, tmp_path, capsys):
    path = unfinished_copy(finished, tmp_path / "copy")
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "st')  # cut off while it was written
    assert train.main(["--resume", str(path), "--quiet"]) == 0
    assert "at step 10" in capsys.readouterr().out
    assert_same_run(path, finished)


def assert_same_run(path, other):
    keys = ("epoch", "step", "train_loss", "train_accuracy", "train_top5", "test_loss", "test_accuracy", "augmented")
    records, expected = ([{k: r[k] for k in keys} for r in RunDirectory(p).records()] for p in (path, other))
    assert records == expected
    digests = [json.loads((p / "summary.json").read_text())["params_sha256"] for p in (path, other)]
    assert digests[0] == digests[1]


def test_a_half_written_checkpoint_is_named_and_the_one_before_is_used(finished, tmp_path, capsys):
    path = tmp_path / "copy"
    shutil.copytree(finished, path)
    (path / "summary.json").unlink()
    for file in (path / "checkpoints" / "15" / "state").rglob("*"):
        if file.is_file() and file.stat().st_size > 300:
            file.write_bytes(file.read_bytes()[:100])
    assert train.main(["--resume", str(path), "--quiet"]) == 0
    output = capsys.readouterr()
    assert "the checkpoint of step 15 cannot be read" in output.err
    assert "at step 10" in output.out
    assert_same_run(path, finished)


def test_without_any_checkpoint_the_run_begins_anew(finished, tmp_path, capsys):
    path = tmp_path / "copy"
    shutil.copytree(finished, path)
    (path / "summary.json").unlink()
    shutil.rmtree(path / "checkpoints")
    assert train.main(["--resume", str(path), "--quiet"]) == 0
    assert "starting from scratch" in capsys.readouterr().out
    assert_same_run(path, finished)


def test_a_checkpoint_of_another_config_is_refused(finished, tmp_path, capsys):
    path = unfinished_copy(finished, tmp_path / "copy")
    config = json.loads((path / "config.json").read_text())
    config["optimizer"]["momentum"] = 0.5
    (path / "config.json").write_text(json.dumps(config))
    assert train.main(["--resume", str(path), "--quiet"]) == 2
    assert "of another config: optimizer.momentum is 0.9, not 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["digist"], "unknown config 'digist'; did you mean 'digits'?"),
        (["--model", "wrn_28"], "unknown model 'wrn_28'; did you mean 'wrn_28_10'?"),
        (["--data.name", "diggits"], "unknown dataset 'diggits'; did you mean 'digits'?"),
        (["--augment", "crp(padding=1)"], "unknown augmentation 'crp'; did you mean 'crop'?"),
        (["--mix", "ricapp"], "unknown mixing 'ricapp'; did you mean 'ricap'?"),
        (["--mix", "ricap(beta=-1)"], "beta in (0, inf); got -1"),
        (["--strategy", "alway"], "unknown strategy 'alway'; did you mean 'always'?"),
        (["--batch-size", "100000"], "batch size of at most the 1438 training examples; got 100000"),
        (["--data.name", "wine"], "cnn takes images"),
        (
            ["--model", "wrn_10_1", "--data.name", "synthetic:2x2x3,10,64"],
            "4 x 4 pixels, its total stride; got float32[1, 2, 2, 3]",
        ),
        (["--optimizer.learning-rate", "-1"], "learning_rate in (0, inf); got -1"),
        (["--epochs", "0"], "epochs in (0, inf); got 0"),
        (["--resume", "nowhere"], "nowhere is not a run directory"),
        (["--data.name", "folder:nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(arguments, sentence, tmp_path, capsys):
    run_dir = [] if "--resume" in arguments else ["--run-dir", str(tmp_path / "run")]
    assert train.main([*arguments, *run_dir]) == 2
    error = capsys.readouterr().err.strip()
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_typo_in_an_option_suggests_the_right_one(capsys):
    with pytest.raises(SystemExit) as exit_:
        train.main(["--epoch", "3"])
    assert exit_.value.code == 2
    assert "--epochs" in capsys.readouterr().err


def test_other_options_beside_resume_must_not_change_the_run(finished, capsys):
    assert train.main(["--resume", str(finished), "--seed", "7"]) == 2
    assert "seed is 7, not 0" in capsys.readouterr().err


def test_help_lists_every_config(capsys):
    with pytest.raises(SystemExit) as exit_:
        train.main(["--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for name in ("digits", "cifar10-wrn-ricap", "--data.data-dir", "--run-dir", "--resume", "--quiet", "--seed"):
        assert name in text


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(tmp_path, capsys):
    path = tmp_path / "run"
    status = train.main([*WINE, "--optimizer.learning-rate", "1e30", "--epochs", "20", "--run-dir", str(path)])
    assert status == 1
    error = capsys.readouterr().err
    assert "became non-finite at step" in error
    assert str(path) in error
    assert not (path / "summary.json").exists()
