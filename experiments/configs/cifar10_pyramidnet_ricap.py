"""PyramidNet-272 with alpha 200 on CIFAR-10 with flip, crop and RICAP.

Paper: Takahashi, Matsubara, Uehara, IEEE TCSVT 2020: error 2.51 +- 0.02 % with RICAP, 2.84 +- 0.05 % with cutout,
3.31 +- 0.08 % without. Recipe of Han, Kim, Kim, "Deep pyramidal residual networks", CVPR 2017: 300 epochs, rate
0.1 x 0.1 after epochs 150 and 225, weight decay 1e-4. What is inside its 90 blocks is computed twice, to save memory.

Command: python -m experiments.train cifar10-pyramidnet-ricap --data.data-dir DIR
Expected: days on one GPU; not run here at this size.
"""

import dataclasses

from experiments.configs.cifar100_pyramidnet_shakedrop import CONFIG as PYRAMIDNET
from experiments.run.config import DataConfig

CONFIG = dataclasses.replace(
    PYRAMIDNET,
    data=DataConfig(name="cifar10"),
    model="pyramidnet272_200",
    regularizer=None,
    remat=True,
    dtype="bfloat16",
    mix="ricap(beta=0.3)",
    optimizer=dataclasses.replace(PYRAMIDNET.optimizer, learning_rate=0.1),
)
