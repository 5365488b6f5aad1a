"""WRN-28-10 on CIFAR-100 with flip, crop and ShakeDrop.

Paper: Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019, where this network is the one that can fail to converge; its
figure is not public. The parameters are those for the original networks, alpha = 0.

Command: python -m experiments.train cifar100-wrn-shakedrop --data.data-dir DIR
Expected: hours on one GPU; not run here at this size.
"""

import dataclasses

from experiments.configs.cifar10_wrn import CONFIG as WRN
from experiments.run.config import DataConfig

CONFIG = dataclasses.replace(
    WRN, data=DataConfig(name="cifar100"), model="wrn_28_10", regularizer="ShakeDrop.with_final_relu"
)
