"""Runs whose loss is not finite by bad luck go on from the last checkpoint with other draws, so many times."""

import dataclasses
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import train
from experiments.run import build, trainer
from experiments.run.config import from_json
from experiments.run.directory import RunDirectory
from jaxaug.training import Checkpoints

# 5 steps in an epoch; the strategy remembers losses, and the weights have a moving average.
WINE = ["--data.name", "wine", "--model", "mlp", "--strategy", "self_paced(threshold=0.5, score='stored')",
        "--augment", "gaussian_noise(stddev=0.1)", "--mix", "mixup", "--optimizer.average-decay", "0.9",
        "--batch-size", "32", "--epochs", "3", "--quiet", "--on-nonfinite", "rewind"]  # fmt: skip
KEYS = ("epoch", "step", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "augmented")


def unlucky(monkeypatch, step):
    """Makes that step a bad one under the key that the run begins with, and under no other."""
    make = build.make_train_step

    def made(*args, **kwargs):
        inner = make(*args, **kwargs)
        first = jax.random.key_data(jax.random.split(jax.random.key(0))[1])

        def train_step(state, batch):
            bad = (state.step == step) & jnp.all(jax.random.key_data(state.key) == first)
            state, metrics = inner(state, batch)
            params = jax.tree.map(lambda x: jnp.where(bad, jnp.nan, x), state.params)
            return dataclasses.replace(state, params=params), {**metrics, "finite": metrics["finite"] & ~bad}

        return train_step

    monkeypatch.setattr(build, "make_train_step", made)


@pytest.fixture
def given(monkeypatch):
    """The states that training began with, one for each attempt."""
    states, fit = [], trainer.fit
    copied = lambda tree: jax.tree.map(lambda x: jnp.array(x, copy=True), tree)  # noqa: E731
    monkeypatch.setattr(trainer, "fit", lambda state, *a, **k: (states.append(copied(state)), fit(state, *a, **k))[1])
    return states


def leaves(state):
    """Returns the leaves of a state as numbers, its key apart."""
    return [np.asarray(x) for x in jax.tree.leaves(dataclasses.replace(state, key=None))]


def stored(path, step):
    """Returns the state of a checkpoint, as another reader finds it."""
    directory = RunDirectory(path)
    state = build.build_experiment(from_json(directory.config())).state
    with Checkpoints(directory.checkpoints, config=directory.config()) as checkpoints:
        restored, _ = checkpoints.restore(state)
    assert int(restored.step) == step
    return restored


def records(path):
    return [{key: record[key] for key in KEYS} for record in RunDirectory(path).records()]


def key_numbers(state):
    return jax.random.key_data(state.key).tolist()


def test_a_run_is_rewound_and_ends_after_the_same_epochs(tmp_path, monkeypatch, capsys, given):
    unlucky(monkeypatch, 7)
    path = tmp_path / "run"
    assert train.main([*WINE, "--run-dir", str(path)]) == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "became non-finite at step 7. Rewound to step 5 with a new random key (rewind 1 of at most 3)." in error
    assert [(r["epoch"], r["step"]) for r in records(path)] == [(1, 5), (2, 10), (3, 15)]
    before, again = given
    # Everything but the key is as the checkpoint had it: weights, momentum, average, what the strategy remembers.
    assert int(again.step) == 5
    assert again.average is not None
    assert len(jax.tree.leaves(again.strategy_state)) > 0
    assert key_numbers(again) != key_numbers(before)
    end = stored(path, 15)
    assert key_numbers(end) == key_numbers(again)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(end.params))


def test_what_is_rewound_to_is_the_checkpoint_but_for_the_key(tmp_path, monkeypatch, given):
    unlucky(monkeypatch, 7)
    path = tmp_path / "run"
    assert train.main([*WINE, "--on-nonfinite", "stop", "--run-dir", str(path)]) == 1
    checkpoint = stored(path, 5)
    assert train.main(["--resume", str(path), "--quiet", "--on-nonfinite", "rewind"]) == 0
    for one, other in zip(leaves(given[-1]), leaves(checkpoint), strict=True):
        np.testing.assert_array_equal(one, other)
    assert key_numbers(given[-2]) == key_numbers(checkpoint) != key_numbers(given[-1])


def test_without_a_checkpoint_the_run_begins_anew_and_drops_what_it_had_measured(tmp_path, monkeypatch, capsys, given):
    unlucky(monkeypatch, 7)
    path = tmp_path / "run"
    assert train.main([*WINE, "--checkpoint-every", "3", "--run-dir", str(path)]) == 0
    assert "Restarted from scratch with a new random key (rewind 1 of at most 3)." in capsys.readouterr().err
    assert [r["epoch"] for r in records(path)] == [1, 2, 3]
    for one, other in zip(leaves(given[0]), leaves(given[1]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert key_numbers(given[0]) != key_numbers(given[1])


def test_after_so_many_rewinds_the_run_stops(tmp_path, capsys, given):
    path = tmp_path / "run"
    arguments = [*WINE, "--optimizer.learning-rate", "1e30", "--rewinds", "2", "--run-dir", str(path)]
    assert train.main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "(rewind 1 of at most 2)" in lines[0]
    assert "(rewind 2 of at most 2)" in lines[1]
    assert f"The run in {path} stopped after 2 rewinds; there is no checkpoint yet." in lines[2]
    assert len({tuple(key_numbers(state)) for state in given}) == 3
    assert not (path / "summary.json").exists()


def test_a_signal_while_it_is_rewound_stops_the_run_which_can_be_resumed(tmp_path, monkeypatch, capsys):
    unlucky(monkeypatch, 7)
    path, built = tmp_path / "run", trainer.build_experiment

    def interrupted(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGINT)
        return built(*args, **kwargs)

    monkeypatch.setattr(trainer, "build_experiment", interrupted)
    assert train.main([*WINE, "--run-dir", str(path)]) == 128 + signal.SIGINT
    output = capsys.readouterr()
    assert "Rewound to step 5" in output.err
    assert "Stopped at step 5." in output.out
    monkeypatch.setattr(trainer, "build_experiment", built)
    assert train.main(["--resume", str(path), "--quiet", "--on-nonfinite", "rewind"]) == 0
    assert [r["epoch"] for r in records(path)] == [1, 2, 3]
    assert json.loads((path / "summary.json").read_text())["steps"] == 15


def test_rewinds_are_counted_from_zero(tmp_path, capsys):
    assert train.main([*WINE, "--rewinds", "-1", "--run-dir", str(tmp_path / "run")]) == 2
    assert "--rewinds of at least 0; got -1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
