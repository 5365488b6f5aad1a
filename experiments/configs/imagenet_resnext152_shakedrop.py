"""ResNeXt-152 32x4d on ImageNet with ShakeDrop, its parameters for networks with a ReLU after the addition.

Paper: Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019: top-1 error 20.34 % with ShakeDrop, 20.45 % with stochastic
depth, 20.49 % without (second-hand).

Command: python -m experiments.train imagenet-resnext152-shakedrop --data.data-dir DIR
Expected: days on several GPUs; not run here at this size.
"""

import dataclasses

from experiments.configs.imagenet_resnet152_shakedrop import CONFIG as RESNET

CONFIG = dataclasses.replace(RESNET, model="resnext152_32x4d")
