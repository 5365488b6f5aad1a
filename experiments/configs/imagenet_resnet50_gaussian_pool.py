"""ResNet-50 on ImageNet with adaptive Gaussian-based pooling in five places.

Paper: Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019: top-1 accuracy 78.63 %
with the pooling, 76.47 % without. Recipe of the author's code: rate 0.1 x 0.1 after epochs 30, 60 and 90 of 120,
weight decay 1e-4, batch 256, random resized crops, flip and color jitter of 0.4; its noise along principal
components of color is left out here.

Command: python -m experiments.train imagenet-resnet50-gaussian-pool --data.data-dir DIR
Expected: days on several GPUs; not run here at this size.
"""

import dataclasses

from experiments.configs.imagenet_wrn50_ricap import CONFIG as RICAP

CONFIG = dataclasses.replace(
    RICAP,
    model="resnet50",
    mix=None,
    pool="GaussianPool",
    optimizer=dataclasses.replace(RICAP.optimizer, nesterov=False, decayed="kernels"),
    epochs=120,
)
