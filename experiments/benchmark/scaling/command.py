"""How much of streams, devices and checkpoints is measured."""

import dataclasses
import pathlib

from experiments.benchmark.scaling import devices


@dataclasses.dataclass(frozen=True)
class Command:
    """How much is measured."""

    folder: pathlib.Path
    """DIR of DIR/train/<class>/*.jpg, small images all of one size."""
    turns: int = 7
    """Turns of each contender."""
    images: int = 4096
    """Small images decoded in a turn."""
    large: int = 256
    """Large images, decoded twice in a turn."""
    threads: tuple[int, ...] = (1, 2, 4)
    """Threads that decode."""
    batch_sizes: tuple[int, ...] = (64, 256)
    """Batches of the stream."""
    hidden_model: str = "wrn_10_1"
    """The network that trains from the stream."""
    hidden_images: int = 512
    """The images that it trains on."""
    saved_model: str = "resnet18"
    """The network that is saved."""
    saved_batch_size: int = 32
    """Its batch."""
    saved_steps: int = 16
    """Steps between two checkpoints."""
    numbers: tuple[int, ...] = (1, 2, 8)
    """Numbers of simulated devices."""
    cores: tuple[int, ...] = (1, 0)
    """Cores that they share; 0: all."""
    trained: devices.Command = dataclasses.field(default_factory=devices.Command)
