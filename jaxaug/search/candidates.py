"""The candidates of a search: augmentations that keep shapes, as pytrees of their magnitudes."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxaug.checks import described
from jaxaug.compose import Augmentation, chain
from jaxaug.data import Split
from jaxaug.search._affinity import affinity
from jaxaug.search.relative import Kind

if TYPE_CHECKING:
    import flax.linen as nn

_CHECK_SIZE = 4  # examples in the abstract batch that candidates are checked with
_EVAL_SIZE = 500  # validation images per forward pass; labels are mixed within such a batch


def checked_candidates(
    candidates: Mapping[str, Augmentation], shape: tuple[int, ...], num_classes: int, *, function: str = "search"
) -> list[Augmentation]:
    """Returns the candidates as pytrees of their traceable numbers, or raises if a candidate is invalid."""
    if not candidates:
        raise ValueError(f"{function} takes at least one candidate; got none.")
    batch = abstract_batch(shape, num_classes)
    return [_traceable(function, name, augment, batch) for name, augment in candidates.items()]


def abstract_batch(shape: tuple[int, ...], num_classes: int) -> dict[str, Any]:
    """Returns shapes and dtypes of a small batch, to check an augmentation without computing anything."""
    shapes = {"image": (_CHECK_SIZE, *shape), "label": (_CHECK_SIZE, num_classes)}
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}


def _traceable(function: str, name: str, augment: Augmentation, batch: dict[str, Any]) -> Augmentation:
    """Returns the augmentation, with constant numbers if one of them fixes a shape and cannot be traced."""
    if not callable(augment):
        raise TypeError(
            f"{function} takes augmentations (key, batch) -> batch; got {type(augment).__name__} for {name!r}."
        )

    def applied(augment: Augmentation, batch: dict[str, Any]) -> Any:
        return augment(jax.random.key(0), batch)

    if jax.tree.structure(augment) == jax.tree.structure(0):  # a plain function is a leaf, not a pytree of numbers
        augment = chain(augment)
    try:
        out = jax.eval_shape(applied, with_arrays(augment), batch)
    except jax.errors.JAXTypeError:
        constant = augment
        augment = chain(lambda key, batch: constant(key, batch))
        out = jax.eval_shape(applied, augment, batch)
    for leaf, old in batch.items():
        if out[leaf].shape != old.shape:
            raise ValueError(
                f"{function} takes candidates that keep shapes; {name!r} changes {leaf} from {described(old)} to "
                f"{described(out[leaf])}."
            )
    return augment


def with_arrays(augment: Augmentation) -> Any:
    """Returns the augmentation with its numbers as arrays, which can be stacked into a population."""
    return jax.tree.map(lambda number: jnp.asarray(number, jnp.float32), augment)


def candidate_states(first: Sequence[Any], augments: Sequence[Augmentation]) -> list[Any]:
    """Returns a state for every candidate and seed, ordered by candidate, in buffers that can be donated.

    Args:
      first: initial states from `init_population` with `always(..., in_state=True)`, one for each seed.
      augments: the candidates.
    """
    states = [dataclasses.replace(state, strategy_state=with_arrays(a)) for a in augments for state in first]
    return [jax.tree.map(jnp.copy, state) for state in states]


def affinities_by(
    model: "nn.Module",
    validation: Split,
    num_classes: int,
    normalize: Callable[[jax.Array], jax.Array],
    kind: Kind,
) -> Callable[[Sequence[Augmentation], Sequence[Any], jax.Array], np.ndarray]:
    """Returns a function from candidates, states of clean networks and their keys to affinities `[P, S]`.

    Candidates with the same structure share one compilation, also between calls.
    """
    from jaxaug.training import device_split, gathered_batch

    data = device_split(validation)
    batch = gathered_batch(data, jnp.arange(data.size, dtype=jnp.int32), num_classes)

    @jax.jit
    def one_affinity(augment: Augmentation, variables: Any, key: jax.Array) -> jax.Array:
        def predict(images: jax.Array) -> Any:
            return model.apply(variables, normalize(images), train=False)

        size = min(_EVAL_SIZE, data.size)
        return affinity(predict, augment, key, batch["image"], batch["label"], kind=kind, batch_size=size)

    def affinities(augments: Sequence[Augmentation], clean: Sequence[Any], keys: jax.Array) -> np.ndarray:
        runs = [(state.inference_variables, key) for state, key in zip(clean, keys, strict=True)]
        return np.array(
            [[one_affinity(with_arrays(augment), *run) for run in runs] for augment in augments], np.float32
        )

    return affinities
