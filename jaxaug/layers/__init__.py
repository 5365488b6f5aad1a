"""Where else noise and priors enter: layers that regularise in feature space."""

from jaxaug.layers.depth import linear_decay

__all__ = ["linear_decay"]
