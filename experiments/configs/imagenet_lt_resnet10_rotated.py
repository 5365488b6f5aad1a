"""ResNet-10 on a long-tailed ImageNet with rotation regularization, the first of two stages.

Paper: Kobayashi, "Rotation regularization without rotation", ECCV 2022: error 56.40 % on ImageNet-LT after both stages,
55.40 % with logit adjustment (`--logit-adjustment 1`). Recipe: 180 epochs, cosine from 0.2, weight decay 1e-4, batch
256. The counts of the classes fall exponentially here from the largest class to a 256th of it, as those of ImageNet-LT
do from 1280 to 5 in another way: figures are not comparable with the paper's.

Command: python -m experiments.train imagenet-lt-resnet10-rotated --data.data-dir DIR
then the second stage: python -m experiments.train imagenet-lt-second-stage --data.data-dir DIR --features-from RUN
Expected: a day on a GPU; not run here at this size.
"""

import dataclasses

from experiments.configs.imagenet_wrn50_ricap import CONFIG as RICAP
from experiments.run.config import OptimizerConfig

CONFIG = dataclasses.replace(
    RICAP,
    data=dataclasses.replace(RICAP.data, imbalance=256.0),
    model="resnet10",
    mix=None,
    head="RotatedDense(degrees=45.0)",
    optimizer=OptimizerConfig(learning_rate=0.2, schedule="cosine", nesterov=False, weight_decay=1e-4),
    epochs=180,
)
