"""PyramidNet-110 with alpha 270 on CIFAR-100 with flip, crop, ShakeDrop and RICAP.

Paper: none has both; error 15.78 % with ShakeDrop alone (Yamada et al., IEEE Access 7, 2019).

Command: python -m experiments.train cifar100-pyramidnet-shakedrop-ricap --data.data-dir DIR
Expected: about two days on one GPU; not run here at this size.
"""

import dataclasses

from experiments.configs.cifar100_pyramidnet_shakedrop import CONFIG as SHAKEDROP

CONFIG = dataclasses.replace(SHAKEDROP, mix="ricap(beta=0.3)")
