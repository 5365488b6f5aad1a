"""ResNet-110 without the ReLU after the addition on CIFAR-100 with flip, crop and ShakeDrop, alpha in [-1, 1].

Paper: Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019, on EraseReLU networks; its figure for this one is not public.

Command: python -m experiments.train cifar100-resnet110-erase-relu-shakedrop --data.data-dir DIR
Expected: hours on one GPU; not run here at this size.
"""

import dataclasses

from experiments.configs.cifar100_resnet110_shakedrop import CONFIG as RESNET

CONFIG = dataclasses.replace(RESNET, model="resnet110(final_relu=False)", regularizer="ShakeDrop.without_final_relu")
