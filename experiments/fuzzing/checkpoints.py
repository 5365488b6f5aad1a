"""Readers of checkpoints: for going on with a run, and for its weights alone."""

import grp  # noqa: F401, orbax asks for owners of files first where it meets a damaged one
import json
import pathlib
import pwd  # noqa: F401
import random
import shutil
from typing import Any

import jax
import jax.numpy as jnp

from experiments.fuzzing.fuzzing import Target
from experiments.fuzzing.images import MARKS, NUMBERS
from experiments.fuzzing.mutation import TOKENS, encoded, mutated, mutated_tree
from jaxaug.models import create_model
from jaxaug.sampling import never
from jaxaug.training import Checkpoints, TrainState, init_state, load_variables, make_optimizer
from jaxaug.training.integrity import sha256

CONFIG = {"model": "mlp", "optimizer": {"learning_rate": 0.1, "milestones": [60, 120]}}
DESCRIPTION = pathlib.Path("0/about/metadata")


def saved_state(path: pathlib.Path) -> TrainState:
    """Returns a small state, a checkpoint of which lies in the directory from now on."""
    model = create_model("mlp", 3, hidden=(4,))
    state = init_state(
        jax.random.key(0), model, make_optimizer(learning_rate=0.1), never(), shape=(4,), num_examples=12
    )
    with Checkpoints(path, config=CONFIG) as checkpoints:
        checkpoints.save(state, {"loss": jnp.float32(1.0), "examples": jnp.int32(8)})
    return state


def forged(tree: Any) -> str:
    """Returns a description of a checkpoint with the digest of what it says."""
    return json.dumps({**tree, "sha256": sha256(tree)} if isinstance(tree, dict) else tree)


def checkpoints(folder: pathlib.Path) -> Target:
    """Returns the readers of a checkpoint, of which one lies in the folder from now on."""
    state = saved_state(folder / "whole")
    files = sorted(path.relative_to(folder / "whole") for path in (folder / "whole").rglob("*") if path.is_file())
    about = json.loads((folder / "whole" / DESCRIPTION).read_text())

    def given(rng: random.Random, place: pathlib.Path) -> tuple[bool, pathlib.Path]:
        for old in place.iterdir():
            shutil.rmtree(old)
        path = place / "checkpoints"
        shutil.copytree(folder / "whole", path)
        match rng.randrange(3):
            case 0:
                tree = {name: value for name, value in about.items() if name != "sha256"}
                (path / DESCRIPTION).write_text(forged(mutated_tree(rng, tree)))
            case 1:
                text = json.dumps(about)
                (path / DESCRIPTION).write_bytes(encoded(rng, mutated(rng, text, [text], TOKENS)))
            case _:
                file = path / rng.choice(files)
                data = file.read_bytes()
                file.write_bytes(mutated(rng, data, [data], (*NUMBERS, *MARKS)))
        return rng.random() < 0.5, path

    def read(resumed_path: tuple[bool, pathlib.Path]) -> None:
        resumed, path = resumed_path
        if resumed:
            with Checkpoints(path, config=CONFIG) as damaged:
                restored, _ = damaged.restore(state)
            assert jax.tree.structure(restored) == jax.tree.structure(state), "a state of another form"
        else:
            found = load_variables(path, state.variables)
            assert found.step == 0, "a step that was not saved"

    return Target("checkpoints", 0.005, given, read, seconds=10.0, gibibytes=0.5)
