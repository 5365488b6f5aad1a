"""ResNeXt-50 (32x4d) on ImageNet with adaptive Gaussian-based pooling in five places.

Paper: Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019: top-1 accuracy 79.34 % with
the pooling, 77.31 % without. The recipe is that of ResNet-50.

Command: python -m experiments.train imagenet-resnext50-gaussian-pool --data.data-dir DIR
Expected: days on several GPUs; not run here at this size.
"""

import dataclasses

from experiments.configs.imagenet_resnet50_gaussian_pool import CONFIG as RESNET

CONFIG = dataclasses.replace(RESNET, model="resnext50_32x4d")
