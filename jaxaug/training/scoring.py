"""The scores that a training step gives its strategy: exact losses, or cheaper approximations."""

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
from jaxaug.training.types import Batch
from jaxaug.training.variables import initial_variables


class Scorer(NamedTuple):
    """Three pure functions, with a state that is part of the training state and so of its checkpoints."""

    init: Callable[[jax.Array, tuple[int, ...], int], Any]  # (key, shape of an example, num_examples) -> state
    score: Callable[[Any, Any, Batch], jax.Array]  # (state, the network's variables, batch) -> losses [B]
    observe: Callable[[Any, Batch, jax.Array], Any]  # (state, the batch trained on, its losses [B]) -> state


def unchanged(images: jax.Array) -> jax.Array:
    """Returns the images unchanged: no normalization."""
    return images


def network_scorer(
    model: nn.Module, *, normalize: Callable[[jax.Array], jax.Array] = unchanged, resolution: int = 1
) -> Scorer:
    """The scorer that takes the loss of the trained network, in inference mode: one forward pass.

    With `resolution` r, the images are first averaged over squares of r x r pixels. The pass then costs about 1 / r^2
    of a full one, but its losses rank the copies less well (`results/importance_cifar/page.md`). To score in another
    precision, pass a model of that `dtype`; it takes the same variables.

    Args:
      model: Linen module, `apply(variables, images, train=)`.
      normalize: applied to images right before the network.
      resolution: r, at least 1; must divide height and width of the images.

    Returns:
      A stateless `Scorer`.

    Raises:
      ValueError: `resolution` is below 1; when scoring: it does not divide the sides of the images, or the inputs are
        feature vectors.

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
    """A small network that is trained together with the main one."""

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
    """The scorer that takes the loss of a small network, trained on the same batches.

    A step costs one forward pass of the proxy for each copy that is scored, and one training step of the proxy.

    Args:
      proxy: Linen module, `apply(variables, images, train=)`.
      optimizer: optax transformation that trains it.
      normalize: applied to images right before the proxy.

    Returns:
      A `Scorer` whose state holds the proxy.

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

        def mean_loss(params: Any) -> tuple[jax.Array, Any]:
            variables = {"params": params, "batch_stats": stats}
            logits, updated = proxy.apply(
                variables, normalize(batch["image"]), train=True, mutable=["batch_stats"], rngs=noise
            )
            return jnp.mean(cross_entropy(logits, batch["label"])), updated.get("batch_stats", stats)

        params = state.variables["params"]
        grads, stats = jax.grad(mean_loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, state.opt_state, params)
        variables = {"params": optax.apply_updates(params, updates), "batch_stats": stats}
        return ProxyState(variables, opt_state, state.key, state.step + 1)

    return Scorer(init, score, observe)


class ScoreEveryState(NamedTuple):
    """The step, the stored losses, and the state of the inner scorer."""

    step: jax.Array  # int32 scalar
    losses: jax.Array  # float32 [N], the last observed loss of each example; infinite if never observed
    inner: Any


def score_every(scorer: Scorer, steps: int) -> Scorer:
    """The scorer that computes scores at every k-th step only, and takes the last observed losses in between.

    In between, all copies of an example have the same score: self-paced augmentation decides by earlier losses, and
    importance sampling draws uniformly. The cost of scoring falls to 1 / k, as does the benefit of importance sampling.

    Args:
      scorer: computes the scores.
      steps: k, at least 1.

    Returns:
      A `Scorer`; its batches must have an "index".

    Raises:
      ValueError: `steps` is below 1.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> one = Scorer(lambda *_: (), lambda state, variables, batch: jnp.ones(2), lambda state, *_: state)
      >>> scorer, batch = score_every(one, 2), {"index": jnp.array([0, 3])}
      >>> state = scorer.init(jax.random.key(0), (3,), 4)
      >>> scorer.score(state, None, batch)
      Array([1., 1.], dtype=float32)
      >>> scorer.score(scorer.observe(state, batch, jnp.array([5.0, 6.0])), None, batch)
      Array([5., 6.], dtype=float32)
    """
    check_size("score_every", "steps", steps, 1)

    def init(key: jax.Array, shape: tuple[int, ...], num_examples: int) -> ScoreEveryState:
        return ScoreEveryState(
            jnp.zeros((), jnp.int32), init_losses(num_examples), scorer.init(key, shape, num_examples)
        )

    def score(state: ScoreEveryState, variables: Any, batch: Batch) -> jax.Array:
        return jax.lax.cond(
            state.step % steps == 0,
            lambda: scorer.score(state.inner, variables, batch).astype(jnp.float32),
            lambda: lookup_losses("score_every", state.losses, batch),
        )

    def observe(state: ScoreEveryState, batch: Batch, losses: jax.Array) -> ScoreEveryState:
        table = update_losses("score_every", state.losses, batch, losses)
        return ScoreEveryState(state.step + 1, table, scorer.observe(state.inner, batch, losses))

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
            f"network_scorer(resolution={side}) takes images [B, H, W, C] whose sides {side} divides; "
            f"got {list(images.shape)}."
        )
    b, h, w, c = images.shape
    return images.reshape(b, h // side, side, w // side, side, c).mean(axis=(2, 4))
