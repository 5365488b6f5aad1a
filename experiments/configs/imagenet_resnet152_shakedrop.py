"""ResNet-152 on ImageNet with ShakeDrop, its parameters for networks with a ReLU after the addition.

Paper: Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019: top-1 error 20.88 % with ShakeDrop, 21.33 % with stochastic
depth, 21.72 % without (second-hand).

Command: python -m experiments.train imagenet-resnet152-shakedrop --data.data-dir DIR
Expected: days on several GPUs; not run here at this size.
"""

import dataclasses

from experiments.configs.imagenet_wrn50_ricap import CONFIG as RICAP

CONFIG = dataclasses.replace(RICAP, model="resnet152", mix=None, regularizer="ShakeDrop.with_final_relu")
