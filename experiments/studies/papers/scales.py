"""Scales that several studies share: ten minutes of a GPU for an arm, and what two CPU cores can do in an hour."""

from experiments.studies.study import ScaleOverrides

CIFAR_GPU10 = ScaleOverrides(
    epochs=30,
    options=("--dtype", "bfloat16", "--eval-every", "30"),
    setup="the paper's network, 30 epochs, bfloat16",
)

# A cosine schedule and a rate at which tiny networks are stable, instead of the recipe's.
CPU_SCHEDULE = (
    "--batch-size", "128", "--dtype", "float32", "--optimizer.learning-rate", "0.1", "--optimizer.schedule", "cosine",
    "--optimizer.milestones", "--optimizer.warmup-epochs", "1", "--optimizer.weight-decay", "5e-4",
    "--optimizer.decayed", "kernels", "--eval-every", "100", "--checkpoint-every", "5",
)  # fmt: skip

# From 0.1, short runs are unstable with other poolings.
RESNET20_CPU = ("--model", "resnet20", "--batch-size", "64", "--optimizer.learning-rate", "0.02")

CIFAR_CPU = ScaleOverrides(
    epochs=15,
    options=("--model", "wrn_10_1", "--data.num-examples", "5000", "--data.image-size", "16", *CPU_SCHEDULE),
    blocks=("CIFAR-10",),
    augment=("crop(padding=2)", "flip_left_right"),
    side=16,
    setup="WRN-10-1 on 5,000 training images of CIFAR-10 resized to 16 x 16, 15 epochs of a cosine schedule",
)

# The recipe of our own small studies: a population of seeds, without a warm-up.
SMALL = (
    "--optimizer.schedule", "cosine", "--optimizer.milestones", "--optimizer.warmup-epochs", "0",
    "--optimizer.weight-decay", "5e-4", "--optimizer.decayed", "kernels", "--dtype", "float32", "--mix", "None",
    "--eval-every", "10000",
)  # fmt: skip

TINY = (
    "--data.name", "folder:{tiny_imagenet}", "--data.no-stream", "--data.no-random-crop", "--batch-size", "128",
)  # fmt: skip
TINY_GPU10 = (*TINY, "--data.image-size", "64", "--eval-every", "60")
TINY_CPU = (*TINY, "--data.image-size", "32", *CPU_SCHEDULE, *RESNET20_CPU)

IMAGENET_GPU10 = ScaleOverrides(
    epochs=60,
    options=TINY_GPU10,
    augment=("crop(padding=8)", "flip_left_right"),
    side=64,
    setup="30 classes of Tiny ImageNet at 64 x 64, the paper's network, 60 epochs",
)

IMAGENET_CPU = ScaleOverrides(
    epochs=10,
    options=(*TINY_CPU, "--data.num-examples", "3000"),
    augment=("crop(padding=4)", "flip_left_right"),
    side=32,
    setup="3,000 images of 30 classes of Tiny ImageNet at 32 x 32, ResNet-20, 10 epochs of a cosine schedule",
)
