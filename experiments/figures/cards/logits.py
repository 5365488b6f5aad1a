"""The picture of rotation regularization: features, their rotations and the logits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.figures.cards.drawing import BLUE, ORANGE, empty_figure
from jaxaug import rotated_logits

# Both classes are at 35° to the feature; only their lengths differ.
FEATURE = np.array([0.0, 0.0, 1.6])
CLASSES = {"head class": 2.4 * np.array([-0.574, 0.0, 0.819]), "tail class": 1.1 * np.array([0.574, 0.0, 0.819])}
BEHIND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
COLORS = {"head class": BLUE, "tail class": ORANGE}


def rotated(key: jax.Array, x: np.ndarray, degrees: float, draws: int) -> np.ndarray:
    """Returns copies of x, each rotated by the angle in a random direction, `[draws, D]`."""
    across = np.asarray(jax.random.normal(key, (draws, len(x))))
    across = across - np.outer(across @ x, x) / (x @ x)
    across *= np.linalg.norm(x) / np.linalg.norm(across, axis=1, keepdims=True)
    return np.cos(np.deg2rad(degrees)) * x + np.sin(np.deg2rad(degrees)) * across


def rotation_regularization(draws: int = 20_000) -> Any:
    """Returns the figure of a feature and its rotations, and of the logits of two classes."""
    dimension, angles = 16, (0.0, 30.0, 60.0)
    figure = empty_figure(4.6)
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.1))
    left.suptitle("feature x, rotated by α in random\ndirections, and weights of two classes", fontsize=10)
    _draw_vectors(left.add_subplot(projection="3d"), angles[1:])

    right.suptitle(f"logits: the same vectors with {dimension - 3} zeros more,\nin {dimension} dimensions", fontsize=10)
    x, *weights = (np.pad(each, (0, dimension - 3)) for each in (FEATURE, *CLASSES.values()))
    kernel, features = jnp.asarray(np.stack(weights, axis=1)), jnp.tile(jnp.asarray(x)[None], (draws, 1))
    bins = np.linspace(-0.5, 4.0, 136)
    drawn_logits = jax.jit(rotated_logits)
    panels = right.subplots(len(angles), 1, sharex=True)
    for axes, degrees in zip(panels, angles, strict=True):
        logits = np.asarray(drawn_logits(jax.random.key(0), features, kernel, degrees=degrees))
        explicit = rotated(jax.random.key(1), x, degrees, draws) @ np.asarray(kernel)
        for k, (name, color) in enumerate(COLORS.items()):
            unrotated = x @ weights[k]
            axes.hist(logits[:, k], bins=bins, color=color, alpha=0.35, label="rotated_logits")
            axes.hist(explicit[:, k], bins=bins, color=color, histtype="step", label="explicitly rotated vectors")
            axes.axvline(unrotated, color=color, linestyle=":", label="without rotation")
            if degrees == 0:
                axes.text(unrotated + 0.06, draws / 2, name, color=color)
        axes.text(1.0, 0.8, f"α = {degrees:.0f}°", transform=axes.transAxes, ha="right")
        axes.set(yticks=[])
        axes.spines[["left", "right", "top"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].set_xlabel("logit")
    figure.legend(handles[:3], labels[:3], loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_vectors(axes: Any, angles: tuple[float, ...]) -> None:
    """Draws the feature, its rotations, and the two classes."""
    for degrees, shade in zip(angles, ("dimgray", "darkgray"), strict=True):
        ends = rotated(jax.random.key(2), FEATURE, degrees, 40)
        for end in ends:
            axes.plot(*np.stack([np.zeros(3), end], axis=1), color=shade, linewidth=0.4)
        axes.scatter(*ends.T, color=shade, s=8, depthshade=False)
        axes.text(*(ends[ends[:, 0].argmax()] + (0.05, 0, 0.1)), f"{degrees:.0f}°")
    arrows = {"x": (FEATURE, "black")} | {name: (vector, COLORS[name]) for name, vector in CLASSES.items()}
    for name, (vector, color) in arrows.items():
        axes.quiver(0, 0, 0, *vector, color=color, linewidth=2.5, arrow_length_ratio=0.12)
        # Above the tip, except for the arrow that ends within the cone.
        place = {"ha": "left", "va": "top"} if name == "tail class" else {"ha": "center", "va": "bottom"}
        axes.text(*np.add(vector, (0.08, 0, 0.08)), name, color=color, bbox=BEHIND, **place)
    axes.view_init(elev=18, azim=-80)
    axes.set(xlim=(-1.4, 1.4), ylim=(-1.4, 1.4), zlim=(0, 2))
    axes.set_box_aspect((2.8, 2.8, 2), zoom=1.28)
    axes.set_axis_off()
