"""WRN-28-10 on CIFAR-10 with flip, crop and RICAP, the recipe of the RICAP paper.

Paper: Takahashi, Matsubara, Uehara, IEEE TCSVT 2020: error 2.85 +- 0.06 % with RICAP, 3.89 % without.
Recipe: 200 epochs of SGD with Nesterov momentum 0.9, rate 0.1 x 0.2 after epochs 60, 120 and 160, weight decay 5e-4 on
all parameters, batch 128, dropout 0.3. The paper draws one boundary per batch; per_example=False does so.

Command: python -m experiments.train cifar10-wrn-ricap --data.data-dir DIR
Expected: hours on one GPU; not run here at this size.
"""

from experiments.run.config import Config, DataConfig, OptimizerConfig

CONFIG = Config(
    data=DataConfig(name="cifar10"),
    model="wrn_28_10(dropout=0.3)",
    augment=("crop(padding=4)", "flip_left_right"),
    mix="ricap(beta=0.3)",
    optimizer=OptimizerConfig(
        learning_rate=0.1,
        schedule="step",
        milestones=(60, 120, 160),
        factor=0.2,
        weight_decay=5e-4,
        decayed="all",
    ),
    epochs=200,
    batch_size=128,
)
