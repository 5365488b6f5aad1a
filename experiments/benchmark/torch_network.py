"""Pre-activation residual networks and their training step in PyTorch, for comparison."""

# pyright: reportMissingImports=false
# PyTorch is installed only for benchmarks.

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Trunk:
    """Widths and depths of a network of two-convolution blocks."""

    stem: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    blocks: int  # in each stage


def parse_trunk(model: str) -> Trunk:
    """Returns the trunk of `preact_resnet18` or of any `wrn_D_K`."""
    if model == "preact_resnet18":
        return Trunk(64, (64, 128, 256, 512), (1, 2, 2, 2), 2)
    wide = re.fullmatch(r"wrn_(\d+)_(\d+)", model)
    if wide is None:
        raise ValueError(f"expected preact_resnet18 or wrn_D_K; got {model!r}.")
    depth, width = map(int, wide.groups())
    return Trunk(16, (16 * width, 32 * width, 64 * width), (1, 2, 2), (depth - 4) // 6)


def torch_model(model: str, num_classes: int) -> Any:
    """Returns the network of `jaxaug.create_model(model)`, BN and ReLU after the last block included."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs: int, channels: int, stride: int):
            super().__init__()
            self.bn1, self.bn2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(channels)
            self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
            same = stride == 1 and inputs == channels
            self.shortcut = None if same else nn.Conv2d(inputs, channels, 1, stride, bias=False)

        def forward(self, x: Any) -> Any:
            first = torch.relu(self.bn1(x))
            branch = self.conv2(torch.relu(self.bn2(self.conv1(first))))
            return branch + (x if self.shortcut is None else self.shortcut(first))

    trunk = parse_trunk(model)
    blocks, inputs = [], trunk.stem
    for channels, stride in zip(trunk.channels, trunk.strides, strict=True):
        for place in range(trunk.blocks):
            blocks.append(Block(inputs, channels, stride if place == 0 else 1))
            inputs = channels
    ending = (nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, num_classes))
    return nn.Sequential(nn.Conv2d(3, trunk.stem, 3, 1, 1, bias=False), *blocks, *ending)


def torch_device() -> str:
    """Returns the device that PyTorch uses."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def settled(result: Any) -> Any:
    """Waits for the device, and returns the result."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result


def torch_step(
    batch: dict[str, Any], *, bfloat16: bool, model: str = "preact_resnet18", compiled: bool = True
) -> Callable[[], Any]:
    """Returns a call of one training step: channels_last, optional autocast to bfloat16, torch.compile if wanted.

    The call returns once the step is enqueued; `settled` waits for it.
    """
    import torch

    device = torch_device()
    torch.backends.cudnn.benchmark = True  # the fastest algorithm of each convolution, as XLA does
    labels = torch.as_tensor(np.array(batch["label"]), device=device)
    network = torch_model(model, labels.shape[1]).to(device, memory_format=torch.channels_last)
    images = torch.as_tensor(np.array(batch["image"]), device=device).permute(0, 3, 1, 2)  # channels_last
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=device == "cuda"
    )

    def loss_of(images: Any) -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            return torch.nn.functional.cross_entropy(network(images), labels)

    loss_function = torch.compile(loss_of) if compiled else loss_of

    def call() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_function(images)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call


def torch_product(size: int, *, bfloat16: bool) -> Callable[[], Any]:
    """Returns a call of a product of two matrices, which returns once it is enqueued."""
    import torch

    a = torch.randn(size, size, device=torch_device(), dtype=torch.bfloat16 if bfloat16 else torch.float32)
    return lambda: a @ a
