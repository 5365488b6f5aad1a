"""Label-preserving augmentations, `f(key, images, *, ...) -> images`."""

from jaxaug.augment.affine import rotate, shear, translate, zoom
from jaxaug.augment.color import brightness, contrast, grayscale, hue, saturation
from jaxaug.augment.erasing import cutout, random_erasing
from jaxaug.augment.filtering import gaussian_blur, sharpness
from jaxaug.augment.geometry import crop, flip_left_right, flip_up_down
from jaxaug.augment.jitter import color_jitter
from jaxaug.augment.noise import gaussian_noise
from jaxaug.augment.policies import rand_augment, trivial_augment
from jaxaug.augment.resizing import resized_crop
from jaxaug.augment.tone import autocontrast, equalize, invert, posterize, solarize

__all__ = [
    "autocontrast",
    "brightness",
    "color_jitter",
    "contrast",
    "crop",
    "cutout",
    "equalize",
    "flip_left_right",
    "flip_up_down",
    "gaussian_blur",
    "gaussian_noise",
    "grayscale",
    "hue",
    "invert",
    "posterize",
    "rand_augment",
    "random_erasing",
    "resized_crop",
    "rotate",
    "saturation",
    "sharpness",
    "shear",
    "solarize",
    "translate",
    "trivial_augment",
    "zoom",
]
