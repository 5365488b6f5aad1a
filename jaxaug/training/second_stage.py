"""A new classifier on the features of a finished run: the state that such a second stage begins with."""

import dataclasses
import json
import pathlib
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from jaxaug.training.integrity import differences, fingerprints, sha256, structure
from jaxaug.training.state import TrainState
from jaxaug.training.variables import HEAD


def with_trunk(state: TrainState, directory: str | pathlib.Path) -> TrainState:
    """The state with the trunk of another run: all its parameters but the classifier's, and its batch statistics.

    They are those of inference in the newest checkpoint that is whole: of the moving average of the weights where
    that run keeps one. The other run may have another classifier, optimiser or strategy. It is only read.

    Args:
      state: of `init_state(trained="head")`, of a network with the same trunk.
      directory: of the other run's `Checkpoints`.

    Returns:
      The state, for `make_train_step(trained="head")`; its moving average, where it has one, has that trunk too.

    Raises:
      FileNotFoundError: there is no checkpoint that is whole.
      ValueError: the trunk is another one; the sentence names what differs.

    Example:
      >>> import tempfile
      >>> import jax, optax
      >>> from jaxaug import create_model, never
      >>> from jaxaug.training import Checkpoints, init_state
      >>> parts, data = (create_model("mlp", 2), optax.sgd(0.1), never()), {"shape": (3,), "num_examples": 4}
      >>> first = init_state(jax.random.key(0), *parts, **data)
      >>> second = init_state(jax.random.key(1), *parts, **data, trained="head")
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     with Checkpoints(directory) as checkpoints:
      ...         checkpoints.save(first, {})
      ...     second = with_trunk(second, directory)
      >>> same = jax.tree.map(lambda a, b: bool((a == b).all()), second.params, first.params)
      >>> jax.tree.all(same["trunk"]), same["classifier"]["kernel"]
      (True, False)

    References:
      Kang et al., "Decoupling representation and classifier for long-tailed recognition", ICLR 2020, section 4, cRT.
    """
    directory = pathlib.Path(directory).resolve()
    ours = {"params": {k: v for k, v in state.params.items() if k != HEAD}, "batch_stats": state.batch_stats}
    expected = structure(ours)
    steps = sorted(ocp.utils.checkpoint_steps(directory), reverse=True) if directory.is_dir() else []
    for step in steps:
        path = directory / str(step)
        try:
            # Not through `Checkpoints`, which tidies its directory up and sets damaged checkpoints aside.
            about = json.loads((path / "about" / "metadata").read_text())
            if about.pop("sha256") != sha256(about):
                raise ValueError("its description is not the one that was saved")
            found = _of_the_trunk(about["structure"])
            if found == expected:
                trunk = _restored(path / "state", ours, averaged=_averaged(about["structure"]))
                if fingerprints(trunk) != _of_the_trunk(about["fingerprints"]):
                    raise ValueError("its arrays are not those that were saved")
                return _with_variables(state, trunk)
        except Exception as error:  # whatever a damaged file makes of its reader
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            warnings.warn(f"the checkpoint {path} cannot be read ({reason}); one before it is used.", stacklevel=2)
            continue
        raise ValueError(f"the checkpoint {path} is of another trunk: {_first_difference(found, expected)}.")
    raise FileNotFoundError(f"there is no checkpoint that can be read in {directory}.")


def _averaged(entries: dict[str, Any]) -> bool:
    """Returns whether a run keeps a moving average, from the paths of the leaves of its state."""
    return any(path.startswith(".average[") for path in entries)


def _of_the_trunk(entries: dict[str, Any]) -> dict[str, Any]:
    """Returns the entries of the leaves that `with_trunk` takes, by their paths in {"params", "batch_stats"}."""
    prefixes = {".average": ""} if _averaged(entries) else {f".{n}": f"['{n}']" for n in ("params", "batch_stats")}
    named = {
        new + path.removeprefix(old): value
        for path, value in entries.items()
        for old, new in prefixes.items()
        if path.startswith(f"{old}[")
    }
    return {path: value for path, value in named.items() if not path.startswith(f"['params']['{HEAD}']")}


def _first_difference(found: dict[str, str], expected: dict[str, str]) -> str:
    """Returns the first entry in which they differ, and how many more there are: of another network, hundreds."""
    paths = sorted(p for p in found.keys() | expected.keys() if found.get(p) != expected.get(p))
    first = differences(*({p: d[p] for p in paths[:1] if p in d} for d in (found, expected)))
    return first + (f", and {len(paths) - 1} more" if len(paths) > 1 else "")


def _restored(path: pathlib.Path, like: dict[str, Any], *, averaged: bool) -> dict[str, Any]:
    """Returns the part of a saved state that is as `like`."""
    like = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    wanted = {"average": like} if averaged else like
    arguments = ocp.checkpoint_utils.construct_restore_args(wanted)
    with ocp.PyTreeCheckpointer() as reader:
        restored = reader.restore(
            path, args=ocp.args.PyTreeRestore(item=wanted, restore_args=arguments, partial_restore=True)
        )
    return restored["average"] if averaged else restored


def _with_variables(state: TrainState, trunk: dict[str, Any]) -> TrainState:
    """Returns the state with these, beside its own classifier."""
    params = {**trunk["params"], HEAD: state.params[HEAD]}
    average = state.average
    if average is not None:
        # Copied: a step is given the state's buffers, and cannot be given one twice.
        copied = jax.tree.map(jnp.copy, trunk)
        average = {**copied, "params": {**copied["params"], HEAD: average["params"][HEAD]}}
    return dataclasses.replace(state, params=params, batch_stats=trunk["batch_stats"], average=average)
