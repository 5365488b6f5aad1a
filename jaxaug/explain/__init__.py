"""What training changed: attention maps, receptive fields and pictures of any functions that the caller passes in."""

from jaxaug.explain._cam import cam, grad_cam
from jaxaug.explain.boxes import bounding_box
from jaxaug.explain.guided import guided_grad_cam, guided_gradients
from jaxaug.explain.layer import features_and_head
from jaxaug.explain.numbers import map_area, map_entropy
from jaxaug.explain.overlays import overlay
from jaxaug.explain.receptive_field import effective_receptive_field, receptive_field_size, receptive_field_spread

__all__ = [
    "bounding_box",
    "cam",
    "effective_receptive_field",
    "features_and_head",
    "grad_cam",
    "guided_grad_cam",
    "guided_gradients",
    "map_area",
    "map_entropy",
    "overlay",
    "receptive_field_size",
    "receptive_field_spread",
]
