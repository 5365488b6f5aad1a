"""PreActResNet-18 on CIFAR-10 with flip and crop, 30 epochs in bfloat16: the base of the accelerator command's arms.

Paper: none; a warm-up and a cosine from a high peak rate, after Smith and Topin, "Super-convergence", 2018. The batch
size divides 50,000, so that no second program is compiled for the last batch of an epoch.

Command: python -m experiments.train cifar10-preact-short --data.data-dir DIR
Expected: about a minute on an H100; not run here, so no figure of ours.
"""

from experiments.run.config import Config, DataConfig, OptimizerConfig

CONFIG = Config(
    data=DataConfig(name="cifar10"),
    model="preact_resnet18",
    augment=("crop(padding=4)", "flip_left_right"),
    optimizer=OptimizerConfig(learning_rate=0.4, warmup_epochs=5.0, weight_decay=5e-4),
    epochs=30,
    batch_size=500,
    dtype="bfloat16",
    engine="loop",
    eval_every=30,
    checkpoint_every=30,
)
