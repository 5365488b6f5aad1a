"""The pictures of the pooling and convolution layers."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.figures.cards.drawing import BLUE, ORANGE, empty_figure, show
from experiments.figures.photographs import photographs
from jaxaug import DisentangledConv, gaussian_pool, max_entropy_pool
from jaxaug.layers._gaussian_pool import Prior

PRIORS: dict[Prior, str] = {"gaussian": "Gaussian", "half": "half-Gaussian", "isp": "iSP"}

# Compiled as a whole, which is faster than operation by operation.
pool = jax.jit(gaussian_pool, static_argnames=("prior", "window", "noise_level", "deterministic"))


def gaussian_pooling(draws: int = 20_000) -> Any:
    """Returns the figure of a photograph pooled in four ways, and of one window under three priors."""
    side, top, left = 8, 88, 96
    window: dict[str, Any] = {"window": (side, side)}
    photograph = jnp.asarray(photographs(224)[4])[None]
    noisy = pool(jax.random.key(0), photograph, 0.0, 1.0, noise_level="position", **window)
    pooled = {
        "photograph,\none window framed": photograph,
        "average": max_entropy_pool(photograph, 0.0, **window),
        "iSP in inference": pool(None, photograph, 0.0, 1.0, deterministic=True, **window),
        "iSP in training,\na draw per window": noisy,
        "maximum": nn.max_pool(photograph, (side, side), (side, side)),
    }
    figure = empty_figure(4.6)
    above, below = figure.subfigures(2, 1, height_ratios=(1.0, 1.35))
    panels = above.subplots(1, len(pooled))
    for axes, (name, image) in zip(panels, pooled.items(), strict=True):
        show(axes, np.clip(np.asarray(image[0]), 0, 1), interpolation="nearest")
        axes.set_title(name, fontsize=10)
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]) * (side + 3) + (left - 2, top - 2)
    panels[0].plot(*corners.T, color="black", linewidth=1.5)

    part = photograph[:, top : top + side, left : left + side, 1:2]
    many = jnp.tile(part, (draws, 1, 1, 1))  # draws are independent for each example
    values = np.asarray(part).ravel()
    panels_of_priors = below.subplots(1, len(PRIORS))
    for axes, (prior, title) in zip(panels_of_priors, PRIORS.items(), strict=True):
        drawn = np.asarray(pool(jax.random.key(1), many, 0.0, 1.0, prior=prior, **window)).ravel()
        bins = values.mean() + np.linspace(-0.7, 0.7, 71)
        counts, *_ = axes.hist(drawn, bins=bins, color="silver", label="draws of the pooled value")
        axes.axvline(values.mean(), color=BLUE, label="average")
        axes.axvline(values.max(), color=ORANGE, linestyle="--", label="maximum")
        axes.plot(values, np.full(len(values), -0.1 * counts.max()), "|", color="black", label="the window's 64 values")
        axes.set(yticks=[], xlim=(-0.4, 1.0))
        axes.set_title(f"{title}\n{np.mean(drawn > values.max()):.0%} above the maximum", fontsize=10)
        axes.spines[["left", "right", "top"]].set_visible(False)
    below.legend(*panels_of_priors[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def disentangled_convolution() -> Any:
    """Returns the figure of one structure filter at three widths, and of a photograph filtered with each."""
    structure = jnp.array([[2.0, 1.0, 0.0], [1.0, 0.0, -1.0], [0.0, -1.0, -2.0]])[:, :, None, None] / 4
    photograph = jnp.asarray(photographs(112)[1].mean(axis=-1))[None, :, :, None]
    impulse = jnp.zeros((1, 21, 21, 1)).at[0, 10, 10, 0].set(1.0)
    convolved = jax.jit(DisentangledConv(1, (3, 3), radius=4, use_bias=False, padding="REFLECT").apply)

    def filtered(image: jax.Array, sigma: float) -> np.ndarray:
        variables = {"params": {"kernel": structure, "sigma": jnp.float32(sigma)}}
        return np.asarray(convolved(variables, image))[0, :, :, 0]

    figure = empty_figure(4.35)
    filters, photos = figure.subplots(2, 4)
    show(filters[0], np.pad(np.asarray(structure)[:, :, 0, 0], 4), **_signed(0.5))
    show(photos[0], np.asarray(photograph)[0, :, :, 0], cmap="gray", interpolation="nearest")
    filters[0].set_title("structure filter W", fontsize=10)
    photos[0].set_xlabel("photograph")
    for place, sigma in enumerate((0.3, 0.75, 1.5), start=1):
        # The impulse response is the filter rotated by 180 degrees.
        whole, out = filtered(impulse, sigma)[5:-5, 5:-5][::-1, ::-1], filtered(photograph, sigma)
        show(filters[place], whole, **_signed(np.abs(whole).max()))
        show(photos[place], out, **_signed(3 * out.std()))
        filters[place].set_title(f"W * G,  σ = {sigma:g}", fontsize=10)
        filters[place].set_xlabel(f"95% of it in {_reach(whole)} × {_reach(whole)} pixels")
        photos[place].set_xlabel("filtered by it")
    return figure


def _signed(limit: float) -> dict[str, Any]:
    """Returns the options of imshow for numbers of both signs."""
    return {"cmap": "PuOr", "vmin": -limit, "vmax": limit, "interpolation": "nearest"}


def _reach(kernel: np.ndarray) -> int:
    """Returns the side of the smallest central square with 95 % of the absolute weights."""
    side, middle = 1, len(kernel) // 2
    while True:
        inner = slice(middle - side // 2, middle + side // 2 + 1)
        if np.abs(kernel[inner, inner]).sum() >= 0.95 * np.abs(kernel).sum():
            return side
        side += 2
