"""The target that reads checkpoints: to resume a run, or for its weights only."""

import grp  # noqa: F401, orbax imports it when it finds a damaged file
import json
import pathlib
import pwd  # noqa: F401
import random
import shutil
from typing import Any

import jax
import jax.numpy as jnp

from experiments.fuzzing.harness import Target
from experiments.fuzzing.images import MARKS, NUMBERS
from experiments.fuzzing.mutation import TOKENS, encoded, mutated, mutated_tree
from jaxaug.models import create_model
from jaxaug.sampling import never
from jaxaug.training import Checkpoints, TrainState, init_state, load_variables, make_optimizer
from jaxaug.training.integrity import sha256

CONFIG = {"model": "mlp", "optimizer": {"learning_rate": 0.1, "milestones": [60, 120]}}
DESCRIPTION = pathlib.Path("0/about/metadata")


def save_state(path: pathlib.Path) -> TrainState:
    """Writes a checkpoint of a small state to the directory, and returns the state."""
    model = create_model("mlp", 3, hidden=(4,))
    state = init_state(
        jax.random.key(0), model, make_optimizer(learning_rate=0.1), never(), shape=(4,), num_examples=12
    )
    with Checkpoints(path, config=CONFIG) as checkpoints:
        checkpoints.save(state, {"loss": jnp.float32(1.0), "examples": jnp.int32(8)})
    return state


def forged(tree: Any) -> str:
    """Returns the description of a checkpoint with a matching digest."""
    return json.dumps({**tree, "sha256": sha256(tree)} if isinstance(tree, dict) else tree)


def checkpoints(folder: pathlib.Path) -> Target:
    """Returns the target that reads checkpoints; it keeps an original in the folder."""
    state = save_state(folder / "original")
    files = sorted(path.relative_to(folder / "original") for path in (folder / "original").rglob("*") if path.is_file())
    description = json.loads((folder / "original" / DESCRIPTION).read_text())

    def generate(rng: random.Random, copy: pathlib.Path) -> tuple[bool, pathlib.Path]:
        for old in copy.iterdir():
            shutil.rmtree(old)
        path = copy / "checkpoints"
        shutil.copytree(folder / "original", path)
        match rng.randrange(3):
            case 0:
                tree = {name: value for name, value in description.items() if name != "sha256"}
                (path / DESCRIPTION).write_text(forged(mutated_tree(rng, tree)))
            case 1:
                text = json.dumps(description)
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
            assert jax.tree.structure(restored) == jax.tree.structure(state), "the state has another structure"
        else:
            saved = load_variables(path, state.variables)
            assert saved.step == 0, "the step was not saved"

    return Target("checkpoints", 0.005, generate, read, seconds=10.0, gibibytes=0.5)
