"""ResNeXt-29 8x64d on CIFAR-10 with flip, crop, ShakeDrop and RICAP.

Paper: none has both; see cifar10-resnext29-shakedrop.

Command: python -m experiments.train cifar10-resnext29-shakedrop-ricap --data.data-dir DIR
Expected: about a day on one GPU; not run here at this size.
"""

import dataclasses

from experiments.configs.cifar10_resnext29_shakedrop import CONFIG as SHAKEDROP

CONFIG = dataclasses.replace(SHAKEDROP, mix="ricap(beta=0.3)")
