"""The candidates of a search: augmentations that keep shapes, as pytrees of their numbers."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxaug.checks import described
from jaxaug.compose import Augmentation, chain
from jaxaug.data import Split
from jaxaug.search.affinity import affinity
from jaxaug.search.relative import Kind

if TYPE_CHECKING:
    import flax.linen as nn

_EXAMPLES = 4  # in the batch that a candidate is tried on
_BATCH = 500  # validation images in a forward pass, among which labels mix too


def checked_candidates(
    candidates: Mapping[str, Augmentation], shape: tuple[int, ...], num_classes: int, *, function: str = "search"
) -> list[Augmentation]:
    """Returns the candidates as pytrees of those numbers that can be traced, or raises what is wrong with one."""
    if not candidates:
        raise ValueError(f"{function} takes at least one candidate; got none.")
    batch = batch_forms(shape, num_classes)
    return [_traceable(function, name, augment, batch) for name, augment in candidates.items()]


def batch_forms(shape: tuple[int, ...], num_classes: int) -> dict[str, Any]:
    """Returns the forms of a small batch, to try an augmentation on without computing anything."""
    shapes = {"image": (_EXAMPLES, *shape), "label": (_EXAMPLES, num_classes)}
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}


def _traceable(function: str, name: str, augment: Augmentation, batch: dict[str, Any]) -> Augmentation:
    """Returns the augmentation, its numbers written down where one of them fixes a shape."""
    if not callable(augment):
        raise TypeError(
            f"{function} takes augmentations (key, batch) -> batch; got {type(augment).__name__} as {name!r}."
        )

    def applied(augment: Augmentation, batch: dict[str, Any]) -> Any:
        return augment(jax.random.key(0), batch)

    if jax.tree.structure(augment) == jax.tree.structure(0):  # a bare function is no pytree
        augment = chain(augment)
    try:
        out = jax.eval_shape(applied, with_arrays(augment), batch)
    except jax.errors.JAXTypeError:
        numbers = augment
        augment = chain(lambda key, batch: numbers(key, batch))
        out = jax.eval_shape(applied, augment, batch)
    for what, old in batch.items():
        if out[what].shape != old.shape:
            raise ValueError(
                f"{function} takes candidates that keep shapes; {name!r} makes of {what} {described(old)} "
                f"{described(out[what])}."
            )
    return augment


def with_arrays(augment: Augmentation) -> Any:
    """Returns the augmentation with its numbers as arrays, of which a population can be made."""
    return jax.tree.map(lambda number: jnp.asarray(number, jnp.float32), augment)


def candidate_states(first: Sequence[Any], augments: Sequence[Augmentation]) -> list[Any]:
    """Returns a state for every candidate and seed, candidate by candidate, in buffers that can be given away.

    Args:
      first: states of `init_population` for `always(..., in_state=True)`, one for each seed.
      augments: the candidates.
    """
    given = [dataclasses.replace(state, strategy_state=with_arrays(a)) for a in augments for state in first]
    return [jax.tree.map(jnp.copy, state) for state in given]


def affinities_by(
    model: "nn.Module",
    validation: Split,
    num_classes: int,
    normalize: Callable[[jax.Array], jax.Array],
    kind: Kind,
) -> Callable[[Sequence[Augmentation], Sequence[Any], jax.Array], np.ndarray]:
    """Returns a function of candidates, clean networks' states and their keys: affinities `[P, S]`.

    It compiles a form of candidate once, however often it is called.
    """
    from jaxaug.training import device_split, gathered_batch

    data = device_split(validation)
    batch = gathered_batch(data, jnp.arange(data.size, dtype=jnp.int32), num_classes)

    @jax.jit
    def measured(augment: Augmentation, variables: Any, key: jax.Array) -> jax.Array:
        def predict(images: jax.Array) -> Any:
            return model.apply(variables, normalize(images), train=False)

        size = min(_BATCH, data.size)
        return affinity(predict, augment, key, batch["image"], batch["label"], kind=kind, batch_size=size)

    def affinities(augments: Sequence[Augmentation], clean: Sequence[Any], keys: jax.Array) -> np.ndarray:
        runs = [(state.inference_variables, key) for state, key in zip(clean, keys, strict=True)]
        found = [[measured(with_arrays(augment), *run) for run in runs] for augment in augments]
        return np.array(found, np.float32)

    return affinities
