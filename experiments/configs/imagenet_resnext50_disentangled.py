"""ResNeXt-50 (32x4d) on ImageNet with disentangled convolution in place of every spatial one.

Paper: Kobayashi, "Disentangled convolution for optimizing receptive field", Pattern Recognition Letters 169, 2023:
top-1 accuracy 78.07 % with it, 77.68 % without. Its recipe is not public; this one is from the author's pooling paper.

Command: python -m experiments.train imagenet-resnext50-disentangled --data.data-dir DIR
Expected: days on several GPUs; not run here at this size.
"""

import dataclasses

from experiments.configs.imagenet_resnet50_gaussian_pool import CONFIG as POOL

CONFIG = dataclasses.replace(POOL, model="resnext50_32x4d", pool=None, conv="DisentangledConv")
