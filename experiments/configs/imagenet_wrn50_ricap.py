"""WRN-50-2 on ImageNet with RICAP.

Paper: Takahashi, Matsubara, Uehara, IEEE TCSVT 2020: top-1 | top-5 error 21.08 | 5.66 % with RICAP, 21.90 | 6.03 %
without, 100 epochs. Recipe: rate 0.1 x 0.1 after epochs 30, 60 and 90, weight decay 1e-4, batch 256, random resized
crops, flip and color jitter of 0.4; its noise along principal components of color is left out here.

Command: python -m experiments.train imagenet-wrn50-ricap --data.data-dir DIR
Expected: days on several GPUs; not run here at this size.
"""

from experiments.run.config import Config, DataConfig, OptimizerConfig

CONFIG = Config(
    data=DataConfig(name="imagenet2012", image_size=224, stream=True, random_crop=True),
    model="wide_resnet50_2",
    augment=(
        "color_jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0)",
        "flip_left_right",
    ),
    mix="ricap(beta=0.3)",
    optimizer=OptimizerConfig(
        learning_rate=0.1, schedule="step", milestones=(30, 60, 90), factor=0.1, weight_decay=1e-4, decayed="all"
    ),
    epochs=100,
    batch_size=256,
    dtype="bfloat16",
)
