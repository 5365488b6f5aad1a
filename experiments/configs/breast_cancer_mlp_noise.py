"""MLP on the breast-cancer table with Gaussian noise: augmentation of feature vectors.

Paper: the numeric experiments of Takase, Karakida, Asoh, "Self-paced data augmentation for training neural networks",
Neurocomputing 442, 2021, have this form; this config is not one of their tables.

Command: python -m experiments.train breast-cancer-mlp-noise
Expected: 96.8 +- 0.8 % test accuracy (seeds 0 to 4) in a few seconds.
"""

from experiments.run.config import Config, DataConfig, OptimizerConfig

CONFIG = Config(
    data=DataConfig(name="breast_cancer"),
    model="mlp",
    augment=("gaussian_noise(stddev=0.3)",),
    optimizer=OptimizerConfig(learning_rate=0.05, weight_decay=1e-3),
    epochs=50,
    batch_size=64,
    checkpoint_every=10,
)
