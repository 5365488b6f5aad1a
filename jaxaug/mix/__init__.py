"""What is done to inputs and labels together: `f(key, images, labels, *, ...) -> (images, labels)`."""

from jaxaug.mix.cutmix import cutmix
from jaxaug.mix.mixup import mixup
from jaxaug.mix.ricap import RicapPlan, apply_ricap, mix_labels, ricap, ricap_plan

__all__ = ["RicapPlan", "apply_ricap", "cutmix", "mix_labels", "mixup", "ricap", "ricap_plan"]
