"""WRN-10-1 on 10,000 CIFAR-10 images with flip and crop, for a CPU: the recipe of results/ricap_cifar.

Paper: none; the recipe of the RICAP paper (see cifar10-wrn-ricap) with the narrowest network, a fifth of the training
images, and a cosine schedule over 15 epochs instead of 200 in steps.

Command: python -m experiments.train cifar10-small --data.data-dir DIR
Expected: 65.9 +- 0.3 % test accuracy (seeds 0 to 2, JPEG re-encoding of the images) in 5 minutes on a CPU core.
"""

from experiments.run.config import Config, DataConfig, OptimizerConfig

CONFIG = Config(
    data=DataConfig(name="cifar10", num_examples=10_000),
    model="wrn_10_1",
    augment=("crop(padding=4)", "flip_left_right"),
    optimizer=OptimizerConfig(learning_rate=0.1, warmup_epochs=1.0, weight_decay=5e-4),
    epochs=15,
    batch_size=128,
    eval_every=15,
    checkpoint_every=5,
)
