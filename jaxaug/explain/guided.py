"""Guided backpropagation: image gradients restricted to positive evidence for a class."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxaug.checks import check_floating, check_images
from jaxaug.explain._cam import grad_cam
from jaxaug.explain.classes import chosen_logits
from jaxaug.explain.relu_replacement import relu_replaced


def guided_gradients(
    f: Callable[[Array], Array], images: Float[Array, "b *rest"], classes: Integer[Array, "b"]
) -> Float[Array, "b *rest"]:
    """Returns the guided gradient of the logit of each example with respect to its image.

    This is backpropagation with a different rule at every ReLU, R^l = (f^l > 0) (R^{l+1} > 0) R^{l+1}: a gradient
    passes only if both it and the input of the ReLU are positive.

    `f` can be any function. Its ReLUs are found in its jaxpr as max(x, 0), the result of `jax.nn.relu`, `nn.relu`,
    `relu6` and `jnp.maximum(x, 0)`, also under `jit` and `nn.remat`. A ReLU in another form, such as
    `jnp.where(x > 0, x, 0)`, keeps its ordinary gradient, like all other activations.

    Args:
      f: images -> logits `[B, K]`, independently for each example (in inference).
      images: `[B, ...]`, floating point.
      classes: integer `[B]` in [0, K - 1], the class to explain; for soft labels, choose one. A traced class out of
        range gives zeros.

    Returns:
      An array with the shape and dtype of `images`; any sign, not scaled.

    Raises:
      ValueError: `f` has no ReLU, or has one inside a scan, a conditional or a custom derivative; a class is out of
        range, a rank is wrong or an axis is empty.
      TypeError: `images` or the logits are not floating point, or `classes` is not an integer array.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> f = lambda x: jax.nn.relu(x) @ jnp.array([[2.0, 0.0], [-3.0, 1.0], [4.0, 1.0]])
      >>> x, classes = jnp.array([[1.0, 1.0, -1.0]]), jnp.array([0])
      >>> guided_gradients(f, x, classes), jax.grad(lambda x: f(x)[0, 0])(x)
      (Array([[2., 0., 0.]], dtype=float32), Array([[ 2., -3.,  0.]], dtype=float32))

    References:
      Springenberg, Dosovitskiy, Brox, Riedmiller, "Striving for simplicity: the all convolutional net", ICLR 2015
      workshop, section 3.4.
    """
    check_floating("guided_gradients", images, rank=None, what="images", axes="[B, ...]")
    guided = relu_replaced(f, _guided_relu, "guided_gradients")

    def evidence(images: Array) -> Array:
        return chosen_logits("guided_gradients", guided(images), classes, images.shape[0]).sum()

    return jax.grad(evidence)(images)


@jax.custom_vjp
def _guided_relu(x: Array) -> Array:
    return jnp.maximum(x, 0)


def _forward(x: Array) -> tuple[Array, Array]:
    return jnp.maximum(x, 0), x > 0


def _backward(active: Array, cotangent: Array) -> tuple[Any]:
    return (jnp.where(active & (cotangent > 0), cotangent, jnp.zeros_like(cotangent)),)


_guided_relu.defvjp(_forward, _backward)


def guided_grad_cam(
    features: Callable[[Array], Array],
    head: Callable[[Array], Array],
    images: Float[Array, "b h w c"],
    classes: Integer[Array, "b"],
) -> Float[Array, "b h w c"]:
    """Returns the guided gradients of each image, weighted by its Grad-CAM, which shows fine detail of the class.

    This is the elementwise product of the `guided_gradients` of head(features(images)) and the `grad_cam` at the
    features, resized bilinearly to the image.

    Args:
      features: images -> features `[B, h, w, C]`.
      head: features -> logits `[B, K]`.
      images: `[B, H, W, C]`, floating point.
      classes: integer `[B]` in [0, K - 1], the class to explain; for soft labels, choose one. A traced class out of
        range gives zeros.

    Returns:
      An array with the shape and dtype of `images`; any sign, not scaled.

    Raises:
      ValueError: the network has no ReLU or one that cannot be replaced, a class is out of range, a rank is wrong or an
        axis is empty.
      TypeError: an array is not floating point, or `classes` is not an integer array.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> head = lambda a: a.mean(axis=(1, 2)) @ jnp.array([[8.0, -8.0]])
      >>> guided_grad_cam(jax.nn.relu, head, jnp.array([[[[3.0], [-1.0]], [[1.0], [0.0]]]]), jnp.array([0])).squeeze()
      Array([[12.,  0.],
             [ 4.,  0.]], dtype=float32)

    References:
      Selvaraju et al., "Grad-CAM", ICCV 2017, section 3.2 (Guided Grad-CAM).
    """
    check_images("guided_grad_cam", images)
    maps = grad_cam(head, features(images), classes).astype(jnp.float32)
    resized = jax.image.resize(maps, images.shape[:3], "bilinear")
    guided = guided_gradients(lambda x: head(features(x)), images, classes)
    return (guided.astype(jnp.float32) * resized[..., None]).astype(images.dtype)
