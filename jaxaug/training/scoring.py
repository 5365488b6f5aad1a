"""What a training step hands to its strategy as `score`: exact losses, or cheaper stand-ins for them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxaug.checks import check_size
from jaxaug.sampling.loss_table import init_losses, lookup_losses, update_losses
from jaxaug.training.losses import cross_entropy
from jaxaug.training.sharding import shard_batch
from jaxaug.training.variables import initial_variables

Batch = dict[str, jax.Array]


class Scorer(NamedTuple):
    """Three pure functions; the state travels in the training state and in checkpoints."""

    init: Callable[[jax.Array, tuple[int, ...], int], Any]  # (key, shape of an example, num_examples) -> state
    score: Callable[[Any, Any, Batch], jax.Array]  # (state, the network's variables, batch) -> losses [B]
    observe: Callable[[Any, Batch, jax.Array], Any]  # (state, batch trained on, its losses [B]) -> state


def unchanged(images: jax.Array) -> jax.Array:
    """Returns the images: no normalization."""
    return images


def network_scorer(
    model: nn.Module, *, normalize: Callable[[jax.Array], jax.Array] = unchanged, resolution: int = 1
) -> Scorer:
    """The scorer that takes the loss of the network in training, in inference mode: one forward pass.

    With `resolution` r the images are first averaged over squares of r x r pixels: the pass costs about 1 / r^2, and
    the loss is that of another input, an approximation that ranks worse (`results/importance_cifar/page.md`). For scoring
    in another arithmetic give a model of that `dtype`; it takes the same variables.

    Args:
      model: Linen module, `apply(variables, images, train=)`.
      normalize: applied to images on their way into the network.
      resolution: r, at least 1; must divide the sides of the images.

    Returns:
      A stateless `Scorer`.

    Raises:
      ValueError: `resolution` is below 1; when scoring, it does not divide the images, or they are feature vectors.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxaug import create_model
      >>> model = create_model("cnn", 2)
      >>> batch = {"image": jnp.ones((3, 16, 16, 1)), "label": jnp.ones((3, 2)) / 2}
      >>> variables = model.init(jax.random.key(0), batch["image"])
      >>> network_scorer(model, resolution=2).score((), variables, batch).shape
      (3,)
    """
    check_size("network_scorer", "resolution", resolution, 1)

    def score(state: Any, variables: Any, batch: Batch) -> jax.Array:
        return _inferred_losses(model, variables, normalize(_averaged(batch["image"], resolution)), batch["label"])

    return Scorer(lambda key, shape, num_examples: (), score, lambda state, batch, losses: state)


class ProxyState(NamedTuple):
    """A small network that learns along."""

    variables: Any
    opt_state: optax.OptState
    key: jax.Array
    step: jax.Array  # int32 scalar


def proxy_scorer(
    proxy: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    normalize: Callable[[jax.Array], jax.Array] = unchanged,
) -> Scorer:
    """The scorer that takes the loss of a small network, trained along on the same batches.

    A step costs one forward pass of the proxy more per copy that is scored, and one training step of the proxy.

    Args:
      proxy: Linen module, `apply(variables, images, train=)`.
      optimizer: optax transformation that trains it.
      normalize: applied to images on their way into it.

    Returns:
      A `Scorer` whose state is the proxy.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from jaxaug import create_model
      >>> scorer = proxy_scorer(create_model("mlp", 2), optax.sgd(0.1))
      >>> state = scorer.init(jax.random.key(0), (3,), 10)
      >>> batch = {"image": jnp.ones((4, 3)), "label": jnp.ones((4, 2)) / 2}
      >>> scorer.score(scorer.observe(state, batch, jnp.zeros(4)), None, batch).shape
      (4,)
    """

    def init(key: jax.Array, shape: tuple[int, ...], num_examples: int) -> ProxyState:
        params_key, key = jax.random.split(key)
        variables = initial_variables(params_key, proxy, shape)
        return ProxyState(variables, optimizer.init(variables["params"]), key, jnp.zeros((), jnp.int32))

    def score(state: ProxyState, variables: Any, batch: Batch) -> jax.Array:
        return _inferred_losses(proxy, state.variables, normalize(batch["image"]), batch["label"])

    def observe(state: ProxyState, batch: Batch, losses: jax.Array) -> ProxyState:
        stats = state.variables["batch_stats"]
        noise = {"dropout": jax.random.fold_in(state.key, state.step)}

        def objective(params: Any) -> tuple[jax.Array, Any]:
            variables = {"params": params, "batch_stats": stats}
            logits, updated = proxy.apply(
                variables, normalize(batch["image"]), train=True, mutable=["batch_stats"], rngs=noise
            )
            return jnp.mean(cross_entropy(logits, batch["label"])), updated.get("batch_stats", stats)

        params = state.variables["params"]
        grads, stats = jax.grad(objective, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, state.opt_state, params)
        variables = {"params": optax.apply_updates(params, updates), "batch_stats": stats}
        return ProxyState(variables, opt_state, state.key, state.step + 1)

    return Scorer(init, score, observe)


class SometimesState(NamedTuple):
    """What is known between two scored steps."""

    step: jax.Array  # int32 scalar
    losses: jax.Array  # float32 [N], the loss last seen of every example; infinite where never seen
    inner: Any


def every(scorer: Scorer, steps: int) -> Scorer:
    """The scorer that looks at every k-th step only, and between them recalls the loss last seen of each example.

    All copies of an example then have one score: self-paced augmentation decides by the past, importance sampling
    draws uniformly. The cost of scoring falls to 1 / k, and so does the benefit of importance sampling.

    Args:
      scorer: any other.
      steps: k, at least 1.

    Returns:
      A `Scorer`; its batches need an "index".

    Raises:
      ValueError: `steps` is below 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> one = Scorer(lambda *_: (), lambda state, variables, batch: jnp.ones(2), lambda state, *_: state)
      >>> scorer, batch = every(one, 2), {"index": jnp.array([0, 3])}
      >>> state = scorer.init(jax.random.key(0), (3,), 4)
      >>> scorer.score(state, None, batch)
      Array([1., 1.], dtype=float32)
      >>> scorer.score(scorer.observe(state, batch, jnp.array([5.0, 6.0])), None, batch)
      Array([5., 6.], dtype=float32)
    """
    check_size("every", "steps", steps, 1)

    def init(key: jax.Array, shape: tuple[int, ...], num_examples: int) -> SometimesState:
        return SometimesState(
            jnp.zeros((), jnp.int32), init_losses(num_examples), scorer.init(key, shape, num_examples)
        )

    def score(state: SometimesState, variables: Any, batch: Batch) -> jax.Array:
        return jax.lax.cond(
            state.step % steps == 0,
            lambda: scorer.score(state.inner, variables, batch).astype(jnp.float32),
            lambda: lookup_losses("every", state.losses, batch),
        )

    def observe(state: SometimesState, batch: Batch, losses: jax.Array) -> SometimesState:
        table = update_losses("every", state.losses, batch, losses)
        return SometimesState(state.step + 1, table, scorer.observe(state.inner, batch, losses))

    return Scorer(init, score, observe)


def _inferred_losses(module: nn.Module, variables: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
    apply: Callable[..., Any] = module.apply
    return cross_entropy(apply(variables, shard_batch(images), train=False), labels)


def _averaged(images: jax.Array, side: int) -> jax.Array:
    """Returns the means over squares of `side` x `side` pixels."""
    if side == 1:
        return images
    if images.ndim != 4 or images.shape[1] % side or images.shape[2] % side:
        raise ValueError(
            f"a scoring resolution of 1/{side} takes images [B, H, W, C] whose sides {side} divides; "
            f"got {list(images.shape)}."
        )
    b, h, w, c = images.shape
    return images.reshape(b, h // side, side, w // side, side, c).mean(axis=(2, 4))
