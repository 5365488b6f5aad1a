"""ResNet-34 on ImageNet with disentangled convolution in place of every spatial one.

Paper: Kobayashi, "Disentangled convolution for optimizing receptive field", Pattern Recognition Letters 169, 2023:
top-1 accuracy 74.64 % with it, 74.10 % without. Its recipe is not public; this one is from the author's pooling paper.

Command: python -m experiments.train imagenet-resnet34-disentangled --data.data-dir DIR
Expected: days on several GPUs; not run here at this size.
"""

import dataclasses

from experiments.configs.imagenet_resnet50_gaussian_pool import CONFIG as POOL

CONFIG = dataclasses.replace(POOL, model="resnet34", pool=None, conv="DisentangledConv")
