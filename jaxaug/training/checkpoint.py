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

# Why a file system refuses to write.
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)


class SaveError(OSError):
    """A checkpoint could not be written; the earlier ones are intact."""


def complete_steps(directory: pathlib.Path) -> list[int]:
    """The steps of the complete checkpoints in a directory of `Checkpoints`, ascending.

    Example:
      >>> complete_steps(pathlib.Path("no/such/directory"))
      []
    """
    paths = directory.iterdir() if directory.is_dir() else ()
    return sorted(int(path.name) for path in paths if path.name.isdigit())


class Checkpoints:
    """The checkpoints in one directory: the latest ones, and the best by validation accuracy.

    A checkpoint gets its name, the number of its step, when it is complete. A run that is killed while it writes one
    leaves the previous checkpoint intact.

    Args:
      directory: where they are kept; created if it does not exist.
      keep: how many of the latest checkpoints to keep, at least 1.
      config: the configuration of the run, as JSON data; saved in every checkpoint, and compared on restoring.

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
        # Not the manager's steps: it counts a checkpoint as soon as it starts to write it.
        return complete_steps(self.directory)

    def save(self, state: TrainState, totals: Totals, *, validation_accuracy: float | int | None = None) -> None:
        """Starts to write the state and the totals of its epoch so far; returns before they are on disk.

        Raises:
          ValueError: there already is a checkpoint of a later step.
          SaveError: this checkpoint or the previous one could not be written; for the last checkpoint, only `wait` or
            `close` may raise it.
        """
        step = int(jax.device_get(state.step))
        if step in self._manager.all_steps():
            return
        # Copied, since the next training step reuses the state's buffers while orbax still reads them.
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
            raise ValueError(
                f"expected a step after {latest}, the latest checkpoint in {self.directory}; got step {step}. Restore "
                "that checkpoint, or save to another directory."
            )

    def restore(self, state: TrainState) -> tuple[TrainState, Totals]:
        """The state and totals of the newest intact checkpoint.

        Args:
          state: a state of the same run: the checkpoint must have its structure, shapes and dtypes, and the result is
            on its devices, which need not be those that saved the checkpoint.

        Returns:
          State and totals, bit-identical to those saved. A checkpoint that cannot be read, or that differs from what
          was saved, is renamed with a warning, and the previous one is restored.

        Raises:
          FileNotFoundError: there is no intact checkpoint.
          ValueError: the checkpoint has another config or structure; the message says what differs.
          SaveError: a checkpoint that was still being written failed.
        """
        self.wait()
        plain = _plain(state)
        expected = jax.tree.map(ocp.utils.to_shape_dtype_struct, plain)
        for step in reversed(self.steps()):
            try:
                about = self._about(step)
            except Exception as error:  # a damaged file can raise anything
                self._set_aside(step, error)
                continue
            for what, ours in (("config", self._config), ("structure", structure(plain))):
                if difference := differences(about[what], ours):
                    raise ValueError(
                        f"the checkpoint of step {step} in {self.directory} is of another {what}: {difference}. Resume "
                        f"with the same {what}, or start a new run in another directory."
                    )
            try:
                wanted = ocp.args.Composite(state=ocp.args.StandardRestore(expected))
                restored = self._manager.restore(step, args=wanted)["state"]
                if fingerprints(restored) != about["fingerprints"]:
                    raise ValueError("its arrays differ from those that were saved")
                # JSON stores a float32 exactly, and keeps integers and floats apart.
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
        """Returns the description of a checkpoint, after checking its digest."""
        about = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        if about.pop("sha256") != sha256(about):
            raise ValueError("its description differs from the one that was saved")
        if lacking := {"config", "structure", "fingerprints", "sums"} - about.keys():
            raise ValueError(f"its description has no {min(lacking)}")
        return about

    def _set_aside(self, step: int, error: Exception) -> None:
        """Renames a damaged checkpoint, so that its step can be saved again and nothing is deleted."""
        names = (
            f"{self.directory.name}-unreadable-{step}{end}"
            for end in itertools.chain([""], (f"-{n}" for n in itertools.count(2)))
        )
        aside = next(path for path in map(self.directory.with_name, names) if not path.exists())
        (self.directory / str(step)).rename(aside)
        self._manager.reload()
        warnings.warn(
            f"the checkpoint of step {step} cannot be read ({_first_line(error)}); it was moved to {aside}, and the "
            "previous one is used.",
            stacklevel=3,
        )

    @contextlib.contextmanager
    def _save_errors(self) -> Iterator[None]:
        """Raises `SaveError` in place of the many errors that orbax and tensorstore raise if a write fails."""
        try:
            yield
        except Exception as error:
            words = map(os.strerror, _REFUSALS)  # one of them is somewhere in a message of several pages
            reason = next((word for word in words if word in str(error)), None) or _first_line(error)
            raise SaveError(f"A checkpoint could not be written to {self.directory}: {reason}.") from error

    def wait(self) -> None:
        """Waits until the saved checkpoints are on disk."""
        with self._save_errors():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits until the saved checkpoints are on disk, and ends the background threads."""
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
            if error is None:  # otherwise the first error is the one to report
                raise


def _first_line(error: Exception) -> str:
    return one_line((str(error).splitlines() or [type(error).__name__])[0])


def _plain(state: TrainState) -> TrainState:
    """Returns the state with its keys as plain integers, since orbax writes arrays only."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, state)


def _as_before(like: jax.Array, leaf: jax.Array) -> jax.Array:
    """Returns a leaf of a plain state, converted back to a key if `like` is one."""
    return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(like)) if _is_key(like) else leaf


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
