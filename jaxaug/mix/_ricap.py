"""RICAP: random image cropping and patching."""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int32, Key, Shaped

from jaxaug.checks import check_choice, check_key, check_number, check_size, checked_pairs, described
from jaxaug.mix.symmetric_beta import symmetric_beta

Boundary = Literal["beta", "anywhere", "center", "corner"]


class RicapPlan(NamedTuple):
    """The source of each of the four patches of every output, in reading order."""

    source: Int32[Array, "b 4"]  # index in the batch of the image that the patch is cropped from
    boundary: Int32[Array, "b 2"]  # (h, w): height and width of the first patch, in pixels
    offset: Int32[Array, "b 4 2"]  # (y, x): first row and column of the patch in its source
    weight: Float[Array, "b 4"]  # share of the pixels of the output; float32, sums to 1


def ricap_plan(
    key: Key[Array, ""],
    shape: tuple[int, ...],
    *,
    beta: ArrayLike = 0.3,
    per_example: bool = True,
    boundary: Boundary = "beta",
    reach: ArrayLike = 0.5,
) -> RicapPlan:
    """Returns the random choices of RICAP without applying them, for tasks whose targets are not class labels.

    h = round(h' H) and w = round(w' W), where h', w' ~ Beta(β, β). Patch k of size h_k x w_k is cropped from image
    σ_k(b) at y_k ~ U{0, ..., H - h_k} and x_k ~ U{0, ..., W - w_k}, inclusive, where the σ_k are four independent
    random permutations of the batch. Its weight is W_k = h_k w_k / (H W).

    The first version of the paper had three uniform distributions of the boundary instead of Beta, which `boundary`
    selects. It does not give their exact ranges; here h' and w' are, independently,

      "anywhere"  U[0, 1], which is Beta(1, 1);
      "center"    U[1/2 - r/2, 1/2 + r/2], with r = `reach`;
      "corner"    U[0, r/2] or U[1 - r/2, 1], with equal probability (a public implementation has r = 0.874).

    Args:
      key: PRNG key, consumed.
      shape: `images.shape`; only B, H and W are used.
      beta: concentration of the Beta distribution, above 0. Below 1, boundaries are near a corner; 1 is uniform; above
        1, they are near the center. May be traced.
      per_example: whether to draw one boundary and one set of offsets per example or, as in the paper, one per batch.
      boundary: distribution of the boundary: "beta", "anywhere", "center" or "corner".
      reach: r in (0, 1], the share of each side in which "center" and "corner" place the boundary. May be traced.

    Returns:
      A `RicapPlan`: source int32 `[B, 4]`, boundary int32 `[B, 2]`, offset int32 `[B, 4, 2]`, weight float32 `[B, 4]`.

    Raises:
      ValueError: `beta` is not above 0, `reach` is outside (0, 1], `boundary` is unknown, or `shape` is not
        (B, H, W, ...) with positive sizes.
      TypeError: `key` is not a typed key.

    Example:
      >>> import jax
      >>> plan = ricap_plan(jax.random.key(1), (2, 32, 32, 3))
      >>> plan.boundary.tolist()
      [[29, 32], [18, 7]]
      >>> plan.weight.tolist()
      [[0.90625, 0.0, 0.09375, 0.0], [0.123046875, 0.439453125, 0.095703125, 0.341796875]]

    References:
      Takahashi, Matsubara, Uehara, "Data augmentation using random image cropping and patching for deep CNNs",
      IEEE TCSVT 30(9), 2020, section III.
    """
    check_key("ricap_plan", key)
    if len(shape) < 3:
        raise ValueError(f"ricap_plan takes the shape (B, H, W, ...) of the images; got {tuple(shape)}.")
    for name, length in zip("BHW", shape, strict=False):
        check_size("ricap_plan", name, length, 1)
    _check_options("ricap_plan", beta, boundary, reach)
    b, h, w = shape[:3]
    draws = b if per_example else 1
    boundary_key, offset_key, *source_keys = jax.random.split(key, 6)

    extent = jnp.array([[h, w]], jnp.int32)
    fraction = _boundary_fraction(boundary_key, (draws, 2), beta, boundary, reach)
    first = jnp.round(fraction * extent.astype(jnp.float32)).astype(jnp.int32)

    size = patch_sizes(first, h, w)
    offset = jax.random.randint(offset_key, (draws, 4, 2), 0, extent[:, None] - size + 1)
    weight = (size[..., 0] * size[..., 1]).astype(jnp.float32) / (h * w)
    source = jnp.stack([jax.random.permutation(k, b) for k in source_keys], axis=1).astype(jnp.int32)
    return RicapPlan(
        source,
        jnp.broadcast_to(first, (b, 2)),
        jnp.broadcast_to(offset, (b, 4, 2)),
        jnp.broadcast_to(weight, (b, 4)),
    )


def _check_options(function: str, beta: ArrayLike, boundary: str, reach: ArrayLike) -> None:
    check_number(function, "beta", beta, 0.0, open_low=True)
    check_number(function, "reach", reach, 0.0, 1.0, open_low=True)
    check_choice(function, "boundary", boundary, get_args(Boundary))


def _boundary_fraction(
    key: Array, shape: tuple[int, ...], beta: ArrayLike, boundary: Boundary, reach: ArrayLike
) -> Float[Array, "..."]:
    """Returns h' and w' in [0, 1]."""
    if boundary == "beta":
        return symmetric_beta(key, beta, shape)
    uniform = jax.random.uniform(key, shape)
    if boundary == "anywhere":
        return uniform
    span = jnp.asarray(reach, jnp.float32)
    if boundary == "center":
        return 0.5 + span * (uniform - 0.5)
    # The lower half of the draws goes to the lower end, the upper half to the upper end.
    return jnp.where(uniform < 0.5, span * uniform, 1.0 - span * (1.0 - uniform))


def patch_sizes(boundary: Int32[Array, "b 2"], h: int, w: int) -> Int32[Array, "b 4 2"]:
    """Returns (height, width) of the four patches of an h x w image with the given boundary, in reading order."""
    top, left = boundary[:, 0], boundary[:, 1]
    heights = jnp.stack([top, top, h - top, h - top], axis=1)
    widths = jnp.stack([left, w - left, left, w - left], axis=1)
    return jnp.stack([heights, widths], axis=2)


def apply_ricap(plan: RicapPlan, images: Shaped[Array, "b h w c"]) -> Shaped[Array, "b h w c"]:
    """Returns images patched together according to the plan.

    out[b, i, j] = images[σ_k(b), y_k + i - h [i >= h], x_k + j - w [j >= w]], with k = 1 + [j >= w] + 2 [i >= h].

    Args:
      plan: plan from `ricap_plan` for the shape of `images`.
      images: `[B, H, W, C]` of any dtype: images, or maps such as segmentation masks.

    Returns:
      `[B, H, W, C]`, dtype of `images`.

    Raises:
      ValueError: `images` is not `[B, H, W, C]` with the B of the plan.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> plan = ricap_plan(jax.random.key(3), (2, 1, 6, 1), beta=1.0)
      >>> apply_ricap(plan, jnp.arange(12.0).reshape(2, 1, 6, 1))[..., 0].tolist()
      [[[1.0, 6.0, 7.0, 8.0, 9.0, 10.0]], [[0.0, 1.0, 8.0, 9.0, 10.0, 11.0]]]

    References:
      Takahashi, Matsubara, Uehara, IEEE TCSVT 30(9), 2020, figure 1.
    """
    if getattr(images, "ndim", None) != 4 or images.shape[0] != plan.source.shape[0]:
        raise ValueError(
            f"apply_ricap takes images [{plan.source.shape[0]}, H, W, C] for this plan; got {described(images)}."
        )
    b, h, w, c = images.shape
    i, j = jnp.arange(h)[None, :], jnp.arange(w)[None, :]
    below, right = i >= plan.boundary[:, :1], j >= plan.boundary[:, 1:]

    def of_patch(values: Array) -> Array:
        """Returns `[B, H, W]`, for every pixel the entry of `values`, `[B, 4]`, of its patch."""
        first, second, third, fourth = (values[:, k, None, None] for k in range(4))
        across = right[:, None, :]
        return jnp.where(below[:, :, None], jnp.where(across, fourth, third), jnp.where(across, second, first))

    row = of_patch(plan.offset[..., 0]) + (i - jnp.where(below, plan.boundary[:, :1], 0))[:, :, None]
    column = of_patch(plan.offset[..., 1]) + (j - jnp.where(right, plan.boundary[:, 1:], 0))[:, None, :]
    pixel = (of_patch(plan.source) * h + row) * w + column
    # A single gather. Indices are in bounds by construction, so they need no checks or clamping.
    return jnp.asarray(images).reshape(b * h * w, c).at[pixel].get(mode="promise_in_bounds")


def mix_labels(
    source: Int32[Array, "b p"], weight: Float[Array, "b p"], labels: Float[Array, "b k"]
) -> Float[Array, "b k"]:
    """Returns labels mixed with the weights of their sources.

    c~_b = Σ_k W_bk c_{σ_k(b)}.

    Args:
      source: int `[B, P]`, index in the batch of the source of each patch; P = 4 for RICAP.
      weight: `[B, P]`, share of each patch; rows sum to 1.
      labels: `[B, K]`, one-hot or soft.

    Returns:
      `[B, K]`, dtype of `labels`.

    Raises:
      ValueError: the shapes disagree.

    Example:
      >>> import jax.numpy as jnp
      >>> mix_labels(jnp.array([[0, 1], [1, 1]]), jnp.array([[0.25, 0.75], [0.5, 0.5]]), jnp.eye(2))
      Array([[0.25, 0.75],
             [0.  , 1.  ]], dtype=float32)

    References:
      Takahashi, Matsubara, Uehara, IEEE TCSVT 30(9), 2020, equation 1.
    """
    if source.shape != weight.shape or labels.ndim != 2 or source.shape[0] != labels.shape[0]:
        raise ValueError(
            "mix_labels takes source [B, P], weight [B, P] and labels [B, K]; got "
            f"{described(source)}, {described(weight)} and {described(labels)}."
        )
    source_labels = labels[source].astype(jnp.float32)
    return jnp.sum(weight.astype(jnp.float32)[:, :, None] * source_labels, axis=1).astype(labels.dtype)


@checked_pairs(rank=4)
def ricap(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    labels: Float[Array, "b k"],
    *,
    beta: ArrayLike = 0.3,
    per_example: bool = True,
    boundary: Boundary = "beta",
    reach: ArrayLike = 0.5,
    image_mixing: bool = True,
    label_mixing: bool = True,
) -> tuple[Float[Array, "b h w c"], Float[Array, "b k"]]:
    """Patches random crops of four images together into each output and mixes their labels by area.

    Equals `plan = ricap_plan(key, images.shape)` followed by `apply_ricap(plan, images)` and
    `mix_labels(plan.source, plan.weight, labels)`. The cross entropy with the mixed label equals the loss of the paper,
    Σ_k W_k CE(f(x), c_k).

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      labels: `[B, K]`, one-hot or soft, floating point.
      beta: concentration of the Beta distribution of the boundary, above 0; 0.3 in the paper. May be traced.
      per_example: whether to draw one boundary and one set of offsets per example or, as in the paper, one per batch.
      boundary: distribution of the boundary: "beta", or "anywhere", "center" or "corner" from the first version of the
        paper (see `ricap_plan`).
      reach: range of "center" and "corner", in (0, 1]; may be traced.
      image_mixing: False keeps the images and still mixes the labels (an ablation of the paper).
      label_mixing: False gives each output the label of its largest patch (another ablation). If both are False,
        images and labels are returned unchanged.

    Returns:
      Images and labels with the given shapes and dtypes; the sources differ between examples.

    Raises:
      ValueError: `beta` is not above 0, `reach` is outside (0, 1], `boundary` is unknown, or the shapes disagree or are
        empty.
      TypeError: images or labels are not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.arange(3.0).reshape(3, 1, 1, 1) * jnp.ones((3, 8, 8, 1))
      >>> patched, labels = ricap(jax.random.key(1), images, jnp.eye(3), beta=1.0)
      >>> labels.sum(axis=1)
      Array([1., 1., 1.], dtype=float32)
      >>> bool(jnp.allclose((patched == 2).mean((1, 2, 3)), labels[:, 2]))
      True

    References:
      Takahashi, Matsubara, Uehara, "Data augmentation using random image cropping and patching for deep CNNs",
      IEEE TCSVT 30(9), 2020, section III; ablations in section IV.
    """
    _check_options("ricap", beta, boundary, reach)
    plan = ricap_plan(key, images.shape, beta=beta, per_example=per_example, boundary=boundary, reach=reach)
    if not image_mixing and not label_mixing:
        return images, labels
    mixed = apply_ricap(plan, images) if image_mixing else images
    if label_mixing:
        return mixed, mix_labels(plan.source, plan.weight, labels)
    largest = jnp.argmax(plan.weight, axis=1)[:, None]
    return mixed, labels[jnp.take_along_axis(plan.source, largest, axis=1)[:, 0]]
