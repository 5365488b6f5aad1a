"""ResNeXt-29 8x64d on CIFAR-10 with flip, crop and ShakeDrop, its parameters for networks with a final ReLU.

Paper: Xie et al., "Aggregated residual transformations for deep neural networks", CVPR 2017: rate 0.1 x 0.1
after epochs 150 and 225 of 300, weight decay 5e-4, batch 128. Yamada et al., IEEE Access 7, 2019, for ShakeDrop on
ResNeXt.

Command: python -m experiments.train cifar10-resnext29-shakedrop --data.data-dir DIR
Expected: about a day on one GPU; not run here at this size.
"""

import dataclasses

from experiments.configs.cifar100_resnet110_shakedrop import CONFIG as RESNET
from experiments.run.config import DataConfig

CONFIG = dataclasses.replace(
    RESNET,
    data=DataConfig(name="cifar10"),
    model="resnext29_8x64d",
    optimizer=dataclasses.replace(RESNET.optimizer, weight_decay=5e-4),
)
