"""Class activation maps: which positions give evidence for a class."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxaug.checks import check_floating, described
from jaxaug.explain.classes import check_classes, chosen_logits, one_hot


def cam(
    features: Float[Array, "b h w c"], kernel: Float[Array, "c k"], classes: Integer[Array, "b"]
) -> Float[Array, "b h w"]:
    """Returns the class activation map of each example: the evidence for a class at every position.

    M_c(x, y) = Σ_k w_k^c f_k(x, y), for a network that ends in global average pooling and a linear classifier. The mean
    of the map plus the bias is the logit. The map is raw: it contains no bias and is neither clipped nor scaled, so
    its sign is meaningful.

    Args:
      features: `[B, h, w, C]`, floating point, the features f_k before the pooling.
      kernel: `[C, K]`, the weights w_k^c of the classifier, as in `nn.Dense`.
      classes: integer `[B]` in [0, K - 1], the class c to explain; for soft labels, choose one. A traced class out of
        range gives a map of zeros.

    Returns:
      `[B, h, w]`, dtype of `features`; any sign.

    Raises:
      ValueError: a rank is wrong, an axis is empty, the channels differ, or a class is out of range.
      TypeError: `features` or `kernel` is not floating point, or `classes` is not an integer array.

    Example:
      >>> import jax.numpy as jnp
      >>> features = jnp.array([[[[1.0, 0.0], [0.0, 2.0]]]])
      >>> kernel = jnp.array([[3.0, 0.0], [-1.0, 1.0]])
      >>> cam(features, kernel, jnp.array([0]))
      Array([[[ 3., -2.]]], dtype=float32)

    References:
      Zhou, Khosla, Lapedriza, Oliva, Torralba, "Learning deep features for discriminative localization", CVPR 2016,
      equation 2.
    """
    check_floating("cam", features, rank=4, what="features", axes="[B, h, w, C]")
    check_floating("cam", kernel, rank=2, what="the kernel of the classifier", axes="[C, K]")
    if features.shape[3] != kernel.shape[0]:
        raise ValueError(
            "cam takes features and a kernel with the same number of channels; "
            f"got features {described(features)} and kernel {described(kernel)}."
        )
    check_classes("cam", classes, features.shape[0], kernel.shape[1])
    chosen = one_hot(classes, kernel.shape[1])
    weights = jnp.matmul(chosen, kernel.astype(jnp.float32).T, precision="highest")
    return _weighted(features, weights).astype(features.dtype)


def grad_cam(
    head: Callable[[Array], Array], features: Float[Array, "b h w c"], classes: Integer[Array, "b"]
) -> Float[Array, "b h w"]:
    """Returns the gradient-weighted class activation map of each example: the evidence for a class at any layer.

    L = ReLU(Σ_k α_k A^k) with α_k = (1 / Z) Σ_ij ∂y^c / ∂A^k_ij. The weight of each channel of the features A is the
    gradient of the logit y^c, averaged over the Z = h w positions. If the head is global average pooling and a linear
    classifier, the map is ReLU(cam) / Z.

    Args:
      head: features -> logits `[B, K]` before the softmax, independently for each example (in inference).
      features: `[B, h, w, C]`, floating point, the features A: the input of `head`. `features_and_head` returns both
        for a named layer of a Linen module.
      classes: integer `[B]` in [0, K - 1], the class c to explain; for soft labels, choose one. A traced class out of
        range gives a map of zeros.

    Returns:
      `[B, h, w]`, dtype of `features`, at least 0, not scaled; all zeros if there is no evidence for the class.

    Raises:
      ValueError: a rank is wrong, an axis is empty, or a class is out of range.
      TypeError: `features` or the logits are not floating point, or `classes` is not an integer array.

    Example:
      >>> import jax.numpy as jnp
      >>> features = jnp.array([[[[1.0, 0.0], [0.0, 2.0]]]])
      >>> kernel = jnp.array([[3.0, 0.0], [-1.0, 1.0]])
      >>> head = lambda features: features.mean(axis=(1, 2)) @ kernel
      >>> grad_cam(head, features, jnp.array([0])), grad_cam(head, features, jnp.array([1]))
      (Array([[[1.5, 0. ]]], dtype=float32), Array([[[0., 1.]]], dtype=float32))

    References:
      Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra, "Grad-CAM: visual explanations from deep networks via
      gradient-based localization", ICCV 2017, equations 1 and 2.
    """
    check_floating("grad_cam", features, rank=4, what="features", axes="[B, h, w, C]")

    def evidence(features: Array) -> Array:
        return chosen_logits("grad_cam", head(features), classes, features.shape[0]).sum()

    weights = jax.grad(evidence)(features).astype(jnp.float32).mean(axis=(1, 2))
    return jnp.maximum(_weighted(features, weights), 0.0).astype(features.dtype)


def _weighted(features: Array, weights: Float[Array, "b c"]) -> Float[Array, "b h w"]:
    """Returns the weighted sum over channels of each example, at the highest precision of matrix products."""
    return jnp.einsum("bhwc,bc->bhw", features.astype(jnp.float32), weights, precision="highest")
