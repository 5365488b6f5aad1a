"""The arms as data: a method, a regime (network, epochs, number of examples) and a seed, which make a config.

The recipe is `experiments.configs.cifar10_preact_short`. Arms of a regime differ only in method and seed.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from experiments.accelerator.item import Scale
from experiments.configs import named_config
from experiments.run.config import Config

BASE = "cifar10-preact-short"
"""The named config that the arms change."""

TRAIN_IMAGES = 50_000


@dataclasses.dataclass(frozen=True)
class Method:
    """What an arm changes in the recipe."""

    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Entries of `Config`."""
    augment: tuple[str, ...] = ()
    """Augmentations after crop and flip; {half} stands for half the side of the images."""
    cost: float = 1.0
    """Time of a step relative to crop and flip."""


# Scoring is an inference pass over all copies of a batch; for one copy it costs a third of a training step.
_FOUR_COPIES = "importance_sampled(num_candidates=4)"
# The network has no ReLU after the addition.
_SHAKE_DROP = {"regularizer": "ShakeDrop.without_final_relu"}
_RICAP = {"mix": "ricap(beta=0.3)"}
_CUTOUT = ("cutout(size={half}, fill='mean')",)

METHODS = {
    "crop and flip": Method(),
    "cutout": Method(augment=_CUTOUT),
    "mixup": Method({"mix": "mixup(alpha=1.0)"}),
    "CutMix": Method({"mix": "cutmix(alpha=1.0)"}),
    "RICAP": Method(_RICAP),
    "one of 4 copies by its loss": Method({"strategy": _FOUR_COPIES}, cost=7 / 3),
    "cutout, one of 4 copies by its loss": Method({"strategy": _FOUR_COPIES}, augment=_CUTOUT, cost=7 / 3),
    "loss at least 0.5": Method({"strategy": "self_paced(threshold=0.5)"}, cost=4 / 3),
    "ShakeDrop": Method(_SHAKE_DROP, cost=1.1),
    "ShakeDrop + RICAP": Method({**_SHAKE_DROP, **_RICAP}, cost=1.1),
    "Gaussian pooling": Method({"pool": "GaussianPool"}, cost=1.3),
}


@dataclasses.dataclass(frozen=True)
class Regime:
    """What its arms have in common: network, epochs and number of examples."""

    about: str
    epochs: int
    warmup_epochs: float
    num_examples: int | None = None
    model: str = "preact_resnet18"
    learning_rate: float = 0.4
    cost: float = 1.0
    """Time of a step relative to PreActResNet-18."""


REGIMES = {
    "short": Regime("all images, 30 epochs", 30, 5.0),
    "long": Regime("all images, 60 epochs", 60, 5.0),
    # With so few images, crop and flip reaches a training error near zero: a method against overfitting is judged here.
    "few": Regime("5,000 images, 120 epochs", 120, 10.0, num_examples=5_000),
    # PreActResNet-18 has no pooling layer to replace. VGG's fully connected layers, which have no batch normalization,
    # need a lower learning rate.
    "VGG-13": Regime("VGG-13, all images, 30 epochs", 30, 5.0, model="vgg13(head_size=1)", learning_rate=0.1, cost=0.5),
}


@dataclasses.dataclass(frozen=True)
class Arm:
    """A method in a regime, with a seed."""

    regime: str
    method: str
    seed: int = 0

    @property
    def name(self) -> str:
        """The name of its item."""
        return f"{self.regime}, {self.method}, seed {self.seed}"

    @property
    def epochs_of_all(self) -> float:
        """Its training time, in epochs of PreActResNet-18 with crop and flip on all images."""
        regime = REGIMES[self.regime]
        share = (regime.num_examples or TRAIN_IMAGES) / TRAIN_IMAGES
        return regime.epochs * share * regime.cost * METHODS[self.method].cost

    def config(self, data: str, scale: Scale, side: int = 32) -> Config:
        """Returns the config on a dataset of `jaxaug.load` whose images have this side.

        At scale "tiny" a tiny network is trained on at most 200 images for two epochs.
        """
        base, regime, method = named_config(BASE), REGIMES[self.regime], METHODS[self.method]
        # With the size given, the files are not searched for the most common size.
        of_data = {"name": data, "image_size": side if data.startswith("folder:") else None}
        config = dataclasses.replace(
            base,
            data=dataclasses.replace(base.data, **of_data, num_examples=regime.num_examples),
            model=regime.model,
            augment=(*base.augment, *(text.replace("{half}", str(side // 2)) for text in method.augment)),
            optimizer=dataclasses.replace(
                base.optimizer, learning_rate=regime.learning_rate, warmup_epochs=regime.warmup_epochs
            ),
            epochs=regime.epochs,
            eval_every=regime.epochs,
            checkpoint_every=regime.epochs,
            seed=self.seed,
            **method.changes,
        )
        return config if scale == "full" else _tiny(config)


def _tiny(config: Config) -> Config:
    """Returns the config with a tiny network on at most 200 images, for two epochs."""
    # As at full scale, only the few-image arms take a subset, unless the dataset is large.
    most = None if config.data.name.startswith("synthetic:") else 200
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, num_examples=100 if config.data.num_examples else most),
        # The small CNN has pooling layers; the wide residual network has no ReLU after the addition.
        model="cnn(width=4)" if config.regularizer is None else "wrn_10_1",
        optimizer=dataclasses.replace(config.optimizer, learning_rate=0.05, warmup_epochs=1.0),
        epochs=2,
        eval_every=2,
        checkpoint_every=2,
        batch_size=50,
    )
