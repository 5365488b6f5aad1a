"""ResNet-110 on CIFAR-100 with flip, crop and ShakeDrop, its parameters for networks with a ReLU after the addition.

Paper: Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019: error 23.74 % with ShakeDrop, 24.07 % with stochastic depth,
27.42 % without (second-hand). Recipe: 300 epochs, rate 0.1 x 0.1 after epochs 150 and 225, weight decay
1e-4, batch 128.

Command: python -m experiments.train cifar100-resnet110-shakedrop --data.data-dir DIR
Expected: hours on one GPU; not run here at this size.
"""

import dataclasses

from experiments.configs.cifar100_pyramidnet_shakedrop import CONFIG as PYRAMIDNET

CONFIG = dataclasses.replace(
    PYRAMIDNET,
    model="resnet110",
    regularizer="ShakeDrop.with_final_relu",
    optimizer=dataclasses.replace(PYRAMIDNET.optimizer, learning_rate=0.1),
)
