"""Stage evidence: arms that are trained on CIFAR-10 under one recipe, in the order of what they tell."""

from experiments.accelerator.evidence.lines import result_lines
from experiments.accelerator.evidence.queue import items

__all__ = ["items", "result_lines"]
