"""Shake-Shake-26 2x96d on CIFAR-10 with flip, crop and RICAP.

Paper: Takahashi, Matsubara, Uehara, IEEE TCSVT 2020: error 2.19 +- 0.08 % with RICAP, 2.32 +- 0.11 % with mixup,
2.56 +- 0.07 % with cutout, 2.86 % without.

Command: python -m experiments.train cifar10-shake-shake-ricap --data.data-dir DIR
Expected: days on one GPU; not run here at this size.
"""

import dataclasses

from experiments.configs.cifar10_shake_shake import CONFIG as SHAKE_SHAKE

CONFIG = dataclasses.replace(SHAKE_SHAKE, mix="ricap(beta=0.3)")
