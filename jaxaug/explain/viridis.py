"""The color map viridis, whose lightness increases with the value, also in gray and for color-blind readers."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# 33 of its 256 colors, evenly spaced; linear interpolation between them is accurate to 0.01. Viridis was created by
# Nathaniel Smith, Stéfan van der Walt and Eric Firing, who dedicated it to the public domain (CC0).
_COLORS = """
    440154 470d60 48186a 482374 472d7b 453681 424086 3f4989 3b528b 375a8d 33638d
    2f6a8e 2c728e 297a8e 26818e 23898e 21908c 1f988b 1f9f88 21a685 28ae80 31b57b
    3ebc74 4cc26c 5dc963 6ece58 82d34c 96d83f abdc32 c0df24 d5e21a eae51a fde725
"""
_TABLE = np.array([list(bytes.fromhex(color)) for color in _COLORS.split()], np.float32) / 255


def viridis(values: Float[Array, "*shape"]) -> Float[Array, "*shape 3"]:
    """Returns the colors of values in [0, 1] as float32 RGB in [0, 1]; values outside are clipped."""
    knots = jnp.linspace(0.0, 1.0, len(_TABLE))
    return jnp.stack([jnp.interp(values.astype(jnp.float32), knots, channel) for channel in jnp.asarray(_TABLE.T)], -1)
