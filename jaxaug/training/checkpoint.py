"""Checkpoints of a run, written by orbax in the background."""

import contextlib
import errno
import itertools
import os
import pathlib
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from jaxaug.checks import check_size, one_line
from jaxaug.training.integrity import differences, fingerprints, sha256, structure
from jaxaug.training.state import TrainState
from jaxaug.training.types import Totals

# Why a disk takes nothing more.
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)


class SaveError(OSError):
    """A checkpoint could not be written; those before it are whole."""


def complete_steps(directory: pathlib.Path) -> list[int]:
    """Returns the steps of the complete checkpoints in a directory of `Checkpoints`, ascending."""
    paths = directory.iterdir() if directory.is_dir() else ()
    return sorted(int(path.name) for path in paths if path.name.isdigit())


class Checkpoints:
    """The checkpoints in one directory: the last ones, and the best by validation accuracy.

    A checkpoint appears under its step's number only when it is complete, so a run that is killed while it writes
    leaves the one before.

    Args:
      directory: where they are kept; made if it is not there.
      keep: how many of the last checkpoints are kept, at least 1.
      config: what the run is, as JSON-able data; kept in every checkpoint, and compared when one is restored.

    Example:
      >>> import tempfile
      >>> with Checkpoints(tempfile.mkdtemp()) as checkpoints:
      ...     checkpoints.steps()
      []
    """

    def __init__(self, directory: str | pathlib.Path, *, keep: int = 2, config: dict[str, Any] | None = None):
        check_size("Checkpoints", "keep", keep, 1)
        self.directory = pathlib.Path(directory).resolve()
        self._config = config or {}
        kept = [
            checkpoint_managers.LatestN(keep),
            checkpoint_managers.BestN(
                get_metric_fn=lambda metrics: metrics["validation_accuracy"],
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(kept), cleanup_tmp_directories=True
            ),
        )

    def steps(self) -> list[int]:
        """Returns the steps of the complete checkpoints, ascending."""
        # Not the manager's: it counts a checkpoint from the moment that it begins to write it.
        return complete_steps(self.directory)

    def save(self, state: TrainState, totals: Totals, *, validation_accuracy: float | int | None = None) -> None:
        """Begins to write the state, and the sums of its epoch so far; returns before they are on disk.

        Raises:
          ValueError: there is a checkpoint of a later step already.
          SaveError: this checkpoint, or the one begun before it, could not be written; that of the last may come out
            in `wait` and `close` only.
        """
        step = int(jax.device_get(state.step))
        if step in self._manager.all_steps():
            return
        # Copied: the next training step reuses the state's buffers while orbax still reads them.
        tree = jax.tree.map(jnp.copy, _plain(state))
        about = {
            "config": self._config,
            "structure": structure(tree),
            "fingerprints": fingerprints(tree),
            "sums": {name: value.tolist() for name, value in jax.device_get(totals).items()},
        }
        with self._save_errors():
            written = self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(tree), about=ocp.args.JsonSave({**about, "sha256": sha256(about)})
                ),
                metrics=None if validation_accuracy is None else {"validation_accuracy": validation_accuracy},
            )
        if not written:
            latest = max(self._manager.all_steps())
            raise ValueError(f"step {step} comes before step {latest}, which {self.directory} already holds.")

    def restore(self, state: TrainState) -> tuple[TrainState, Totals]:
        """The state and sums of the newest checkpoint that is whole.

        Args:
          state: a state of the same run, whose structure, shapes and dtypes are expected, and on whose devices the
            result lies.

        Returns:
          State and sums as they were saved, on any number of devices. A checkpoint that cannot be read, or whose bits
          are not those that were saved, is named in a warning and set aside under another name, and the one before it
          is taken.

        Raises:
          FileNotFoundError: there is no checkpoint that is whole.
          ValueError: the checkpoint is of another config or of another structure; the sentence names what differs.
          SaveError: the checkpoint that was being written could not be.
        """
        self.wait()
        plain = _plain(state)
        expected = jax.tree.map(ocp.utils.to_shape_dtype_struct, plain)
        for step in reversed(self.steps()):
            try:
                about = self._about(step)
            except Exception as error:  # whatever a damaged file makes of its reader
                self._set_aside(step, error)
                continue
            for what, ours in (("config", self._config), ("structure", structure(plain))):
                if difference := differences(about[what], ours):
                    raise ValueError(
                        f"the checkpoint of step {step} in {self.directory} is of another {what}: {difference}."
                    )
            try:
                wanted = ocp.args.Composite(state=ocp.args.StandardRestore(expected))
                restored = self._manager.restore(step, args=wanted)["state"]
                if fingerprints(restored) != about["fingerprints"]:
                    raise ValueError("its arrays are not those that were saved")
                # JSON keeps a float32 exactly, and tells counts from sums.
                totals = {
                    n: jnp.asarray(v, jnp.int32 if isinstance(v, int) else jnp.float32)
                    for n, v in about["sums"].items()
                }
            except Exception as error:
                self._set_aside(step, error)
                continue
            return jax.tree.map(_as_before, state, restored), totals
        raise FileNotFoundError(f"there is no checkpoint that can be read in {self.directory}.")

    def _about(self, step: int) -> dict[str, Any]:
        """Returns what a checkpoint says of itself, once its digest has been checked."""
        about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        if about.pop("sha256") != sha256(about):
            raise ValueError("its description is not the one that was saved")
        if lacking := {"config", "structure", "fingerprints", "sums"} - about.keys():
            raise ValueError(f"its description lacks {min(lacking)}")
        return about

    def _set_aside(self, step: int, error: Exception) -> None:
        """Renames a damaged checkpoint, so that its step can be written again and nothing is deleted."""
        names = (
            f"{self.directory.name}-unreadable-{step}{end}"
            for end in itertools.chain([""], (f"-{n}" for n in itertools.count(2)))
        )
        aside = next(path for path in map(self.directory.with_name, names) if not path.exists())
        (self.directory / str(step)).rename(aside)
        self._manager.reload()
        warnings.warn(
            f"the checkpoint of step {step} cannot be read ({_first_line(error)}); it was moved to {aside}, and the "
            "one before it is used.",
            stacklevel=3,
        )

    @contextlib.contextmanager
    def _save_errors(self) -> Iterator[None]:
        """Makes one error of the many that orbax and tensorstore raise, then or later, where a write fails."""
        try:
            yield
        except Exception as error:
            words = map(os.strerror, _REFUSALS)  # in what they say of it, pages long
            reason = next((word for word in words if word in str(error)), None) or _first_line(error)
            raise SaveError(f"A checkpoint could not be written to {self.directory}: {reason}.") from error

    def wait(self) -> None:
        """Waits until what was saved is on disk."""
        with self._save_errors():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and ends the background writers."""
        with self._save_errors():
            try:
                self._manager.wait_until_finished()
            finally:
                self._manager.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except SaveError:
            if error is None:  # else what went wrong first is what is told
                raise


def _first_line(error: Exception) -> str:
    return one_line((str(error).splitlines() or [type(error).__name__])[0])


def _plain(state: TrainState) -> TrainState:
    """Returns the state with its keys as plain numbers, since orbax writes arrays."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, state)


def _as_before(like: jax.Array, leaf: jax.Array) -> jax.Array:
    """Returns a leaf of a plain state as the key it was, if it was one."""
    return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(like)) if _is_key(like) else leaf


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
