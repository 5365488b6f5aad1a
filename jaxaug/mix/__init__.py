"""Augmentations that mix examples, `f(key, images, labels, *, ...) -> (images, labels)`."""

from jaxaug.mix._cutmix import cutmix
from jaxaug.mix._mixup import mixup
from jaxaug.mix._ricap import RicapPlan, apply_ricap, mix_labels, ricap, ricap_plan

__all__ = ["RicapPlan", "apply_ricap", "cutmix", "mix_labels", "mixup", "ricap", "ricap_plan"]
