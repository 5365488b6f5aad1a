"""Stage evidence: trains arms on CIFAR-10 with one recipe, the most informative first."""

from experiments.accelerator.evidence.lines import result_lines
from experiments.accelerator.evidence.queue import items

__all__ = ["items", "result_lines"]
