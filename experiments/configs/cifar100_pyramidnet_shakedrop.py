"""PyramidNet-110 with alpha 270 on CIFAR-100 with flip, crop and ShakeDrop at the level of pixels.

Paper: Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019: error 15.78 % (16.22 % at the level of batches); second-hand,
17.74 % with stochastic depth and 18.01 % without. Recipe of the authors' code: 300 epochs of SGD with
Nesterov momentum 0.9, rate 0.5 x 0.1 after epochs 150 and 225, weight decay 1e-4 on all parameters, batch 128.

Command: python -m experiments.train cifar100-pyramidnet-shakedrop --data.data-dir DIR
Expected: about two days on one GPU; not run here at this size.
"""

from experiments.run.config import Config, DataConfig, OptimizerConfig

CONFIG = Config(
    data=DataConfig(name="cifar100"),
    model="pyramidnet110_270",
    regularizer="ShakeDrop.without_final_relu(gate_level='batch', noise_level='pixel')",
    augment=("crop(padding=4)", "flip_left_right"),
    optimizer=OptimizerConfig(
        learning_rate=0.5, schedule="step", milestones=(150, 225), factor=0.1, weight_decay=1e-4, decayed="all"
    ),
    epochs=300,
    batch_size=128,
)
