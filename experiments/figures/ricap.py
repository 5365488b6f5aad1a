"""Draws a batch before and after RICAP, the picture of the README: `python -m experiments.figures.ricap`.

The images are crops of the two photographs that scikit-learn ships, china.jpg and flower.jpg.
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments.figures.photographs import photographs
from jaxaug import apply_ricap, mix_labels, ricap_plan


@dataclasses.dataclass(frozen=True)
class Command:
    """Where to write the picture, and which draw to show."""

    out: pathlib.Path = pathlib.Path("docs/images/ricap.png")
    """Output PNG."""
    seed: int = 3
    """Seed of the draws."""
    beta: float = 1.0
    """Concentration of the boundary; 0.3 in training, larger here so that all four patches are visible."""


def main() -> None:
    """Draws the inputs over the outputs, each with its label."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.figures.ricap")
    images = jnp.asarray(photographs())
    plan = ricap_plan(jax.random.key(command.seed), images.shape, beta=command.beta)
    patched = np.asarray(apply_ricap(plan, images))
    labels = np.asarray(mix_labels(plan.source, plan.weight, jnp.eye(len(images))))

    figure = Figure(figsize=(1.6 * len(images), 4.0), dpi=80, layout="constrained")
    axes = figure.subplots(2, len(images))
    for i, (image, out, label) in enumerate(zip(np.asarray(images), patched, labels, strict=True)):
        axes[0, i].imshow(image)
        axes[0, i].set_title("ABCDEF"[i])
        axes[1, i].imshow(out)
        parts = [f"{share:.2f} {'ABCDEF'[k]}" for k, share in enumerate(label) if share > 0]
        axes[1, i].set_title(" + ".join(parts[:2]) + ("\n+ " + " + ".join(parts[2:]) if parts[2:] else ""), fontsize=9)
    for each in axes.ravel():
        each.set_axis_off()
    command.out.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(command.out))


if __name__ == "__main__":
    main()
