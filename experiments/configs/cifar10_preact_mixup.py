"""PreActResNet-18 on CIFAR-10 with flip, crop and mixup.

Paper: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond empirical risk minimization", ICLR 2018. Recipe of its reference
code: 200 epochs, rate 0.1 x 0.1 after epochs 100 and 150, weight decay 1e-4, batch 128, alpha 1.

Command: python -m experiments.train cifar10-preact-mixup --data.data-dir DIR
Expected: about an hour on one GPU; not run here at this size.
"""

from experiments.run.config import Config, DataConfig, OptimizerConfig

CONFIG = Config(
    data=DataConfig(name="cifar10"),
    model="preact_resnet18",
    augment=("crop(padding=4)", "flip_left_right"),
    mix="mixup(alpha=1.0)",
    optimizer=OptimizerConfig(
        learning_rate=0.1, schedule="step", milestones=(100, 150), factor=0.1, weight_decay=1e-4, decayed="all"
    ),
    epochs=200,
    batch_size=128,
)
