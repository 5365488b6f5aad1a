"""Loads the weights of a finished run from its checkpoints, which stay unchanged."""

import json
import pathlib
import warnings
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from jaxaug.training.integrity import differences, fingerprints, sha256, structure


class SavedVariables(NamedTuple):
    """The variables of a network in inference, and the step at which they were saved."""

    step: int
    variables: dict[str, Any]  # "params" and "batch_stats"


def load_variables(
    directory: str | pathlib.Path, like: dict[str, Any], *, what: str = "network", without: str | None = None
) -> SavedVariables:
    """The variables in the newest intact checkpoint: the moving average of the weights, if the run has one.

    Args:
      directory: of the run's `Checkpoints`; it is only read.
      like: {"params", "batch_stats"} of the expected shapes and dtypes: arrays, or `abstract_variables`.
      what: what the variables belong to, for messages.
      without: a name in "params" that `like` leaves out.

    Returns:
      The step of the checkpoint, and its {"params", "batch_stats"}. A checkpoint that cannot be read is named in a
      warning, and the previous one is taken.

    Raises:
      FileNotFoundError: there is no intact checkpoint.
      ValueError: the checkpoint has other variables; the message says what differs.

    Example:
      >>> import tempfile
      >>> import jax, optax
      >>> from jaxaug import create_model, never
      >>> from jaxaug.training import Checkpoints, abstract_variables, init_state
      >>> model = create_model("mlp", 2)
      >>> state = init_state(jax.random.key(0), model, optax.sgd(0.1), never(), shape=(3,), num_examples=4)
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     with Checkpoints(directory) as checkpoints:
      ...         checkpoints.save(state, {})
      ...     step, variables = load_variables(directory, abstract_variables(model, (3,)))
      >>> step, bool((variables["params"]["classifier"]["kernel"] == state.params["classifier"]["kernel"]).all())
      (0, True)
    """
    directory = pathlib.Path(directory).resolve()
    expected = structure(like)
    steps = sorted(ocp.utils.checkpoint_steps(directory), reverse=True) if directory.is_dir() else []
    for step in steps:
        path = directory / str(step)
        try:
            # Not through `Checkpoints`, which cleans up its directory and renames damaged checkpoints.
            about = json.loads((path / "about" / "metadata").read_text())
            if about.pop("sha256") != sha256(about):
                raise ValueError("its description differs from the one that was saved")
            found = _of_inference(about["structure"], without)
            if found == expected:
                variables = _restored(path / "state", like, averaged=_averaged(about["structure"]))
                if fingerprints(variables) != _of_inference(about["fingerprints"], without):
                    raise ValueError("its arrays differ from those that were saved")
                return SavedVariables(step, variables)
        except Exception as error:  # a damaged file can raise anything
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            warnings.warn(f"the checkpoint {path} cannot be read ({reason}); the previous one is used.", stacklevel=3)
            continue
        raise ValueError(f"the checkpoint {path} is of another {what}: {_first_difference(found, expected)}.")
    raise FileNotFoundError(f"there is no checkpoint that can be read in {directory}.")


def _averaged(entries: dict[str, Any]) -> bool:
    """Returns whether the saved state has a moving average, from the paths of its leaves."""
    return any(path.startswith(".average[") for path in entries)


def _of_inference(entries: dict[str, Any], without: str | None) -> dict[str, Any]:
    """Returns the entries of the leaves that inference needs, by their paths in {"params", "batch_stats"}."""
    prefixes = {".average": ""} if _averaged(entries) else {f".{n}": f"['{n}']" for n in ("params", "batch_stats")}
    named = {
        new + path.removeprefix(old): value
        for path, value in entries.items()
        for old, new in prefixes.items()
        if path.startswith(f"{old}[")
    }
    return {path: value for path, value in named.items() if not path.startswith(f"['params']['{without}']")}


def _first_difference(found: dict[str, str], expected: dict[str, str]) -> str:
    """Returns the first difference and how many more there are: another network has hundreds."""
    paths = sorted(p for p in found.keys() | expected.keys() if found.get(p) != expected.get(p))
    first = differences(*({p: d[p] for p in paths[:1] if p in d} for d in (found, expected)))
    return first + (f", and {len(paths) - 1} more" if len(paths) > 1 else "")


def _restored(path: pathlib.Path, like: dict[str, Any], *, averaged: bool) -> dict[str, Any]:
    """Returns the variables of a saved state that have the structure of `like`."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])

    def wanted_leaf(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None) or here)

    like = jax.tree.map(wanted_leaf, like)
    wanted = {"average": like} if averaged else like
    arguments = ocp.checkpoint_utils.construct_restore_args(wanted)
    with ocp.PyTreeCheckpointer() as reader:
        restored = reader.restore(
            path, args=ocp.args.PyTreeRestore(item=wanted, restore_args=arguments, partial_restore=True)
        )
    return restored["average"] if averaged else restored
