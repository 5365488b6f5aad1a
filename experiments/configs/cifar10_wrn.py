"""WRN-28-10 on CIFAR-10 with flip and crop, the baseline of the RICAP paper.

Paper: Takahashi, Matsubara, Uehara, IEEE TCSVT 2020: error 3.89 % (and 6.97 % without any augmentation).

Command: python -m experiments.train cifar10-wrn --data.data-dir DIR
Expected: hours on one GPU; not run here at this size.
"""

import dataclasses

from experiments.configs.cifar10_wrn_ricap import CONFIG as RICAP

CONFIG = dataclasses.replace(RICAP, mix=None)
