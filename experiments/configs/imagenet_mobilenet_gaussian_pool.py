"""MobileNet on ImageNet with adaptive Gaussian-based pooling after its strided depthwise convolutions.

Paper: Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019: top-1 accuracy 72.67 % with
the pooling, 70.16 % without. There is no code of the author for this network; the recipe is that of his ResNet-50.

Command: python -m experiments.train imagenet-mobilenet-gaussian-pool --data.data-dir DIR
Expected: days on several GPUs; not run here at this size.
"""

import dataclasses

from experiments.configs.imagenet_resnet50_gaussian_pool import CONFIG as RESNET

CONFIG = dataclasses.replace(RESNET, model="mobilenet")
