"""Shake-Shake-26 2x96d on CIFAR-10 with flip and crop.

Paper: Gastaldi, "Shake-Shake regularization", 2017: error 2.86 %, mean of three runs (shake, shake, per image).
Recipe: 1800 epochs of one cosine from 0.2, weight decay 1e-4, batch 128.

Command: python -m experiments.train cifar10-shake-shake --data.data-dir DIR
Expected: days on one GPU; not run here at this size.
"""

from experiments.run.config import Config, DataConfig, OptimizerConfig

CONFIG = Config(
    data=DataConfig(name="cifar10"),
    model="shake_shake_26_2x96d",
    augment=("crop(padding=4)", "flip_left_right"),
    optimizer=OptimizerConfig(learning_rate=0.2, schedule="cosine", weight_decay=1e-4, decayed="all"),
    epochs=1800,
    batch_size=128,
)
