"""The second stage on a long-tailed ImageNet: a plain classifier, trained on balanced classes and frozen features.

Paper: Kobayashi, "Rotation regularization without rotation", ECCV 2022; Kang et al., "Decoupling representation and
classifier", ICLR 2020. 30 epochs in which every class comes equally often; the learning rate is not public.

Command: python -m experiments.train imagenet-lt-second-stage --data.data-dir DIR --features-from RUN
with RUN the directory of a run of imagenet-lt-resnet10-rotated
Expected: an hour on a GPU; not run here at this size.
"""

import dataclasses

from experiments.configs.imagenet_lt_resnet10_rotated import CONFIG as FIRST

CONFIG = dataclasses.replace(
    FIRST, data=dataclasses.replace(FIRST.data, sampling="class_balanced"), head=None, epochs=30
)
