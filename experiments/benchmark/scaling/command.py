"""The options of the benchmark."""

import dataclasses
import pathlib

from experiments.benchmark.scaling import devices


@dataclasses.dataclass(frozen=True)
class Command:
    """What to measure, and for how long."""

    folder: pathlib.Path
    """DIR of DIR/train/<class>/*.jpg, small images of the same size."""
    turns: int = 7
    """Number of turns of each contender."""
    images: int = 4096
    """Small images decoded per turn."""
    large: int = 256
    """Large images, decoded twice per turn."""
    threads: tuple[int, ...] = (1, 2, 4)
    """Numbers of decoding threads."""
    batch_sizes: tuple[int, ...] = (64, 256)
    """Batch sizes of the stream."""
    hidden_model: str = "wrn_10_1"
    """Network that trains from the stream."""
    hidden_images: int = 512
    """Number of images that it trains on."""
    saved_model: str = "resnet18"
    """Network that is saved in checkpoints."""
    saved_batch_size: int = 32
    """Batch size of that network."""
    saved_steps: int = 16
    """Steps between two checkpoints."""
    numbers: tuple[int, ...] = (1, 2, 8)
    """Numbers of simulated devices."""
    cores: tuple[int, ...] = (1, 0)
    """Numbers of cores that they share; 0 is all."""
    trained: devices.Command = dataclasses.field(default_factory=devices.Command)
