"""What is done to an input: label-preserving augmentations, `f(key, images, *, ...) -> images`."""

from jaxaug.augment.erasing import cutout
from jaxaug.augment.geometry import crop, flip_left_right
from jaxaug.augment.noise import gaussian_noise

__all__ = ["crop", "cutout", "flip_left_right", "gaussian_noise"]
