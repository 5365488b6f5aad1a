"""PreActResNet-18 and its training step in PyTorch, for comparison."""

# pyright: reportMissingImports=false
# PyTorch is installed only where it is measured.

from collections.abc import Callable
from typing import Any

import numpy as np

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))


def preact_resnet18(num_classes: int) -> Any:
    """Returns the network of `jaxaug.create_model("preact_resnet18")`, BN and ReLU after the last block included."""
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

    blocks, inputs = [], 64
    for channels, stride in STAGES:
        blocks += [Block(inputs, channels, stride), Block(channels, channels, 1)]
        inputs = channels
    ending = (nn.BatchNorm2d(512), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, num_classes))
    return nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), *blocks, *ending)


def torch_device() -> str:
    """Returns where PyTorch computes."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def settled(result: Any) -> Any:
    """Returns the result once the device has computed it."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result


def torch_step(batch: dict[str, Any], *, bfloat16: bool) -> Callable[[], Any]:
    """Returns a call of one training step: channels_last, autocast to bfloat16 if wanted, torch.compile."""
    import torch

    device = torch_device()
    labels = torch.as_tensor(np.array(batch["label"]), device=device)
    network = preact_resnet18(labels.shape[1]).to(device, memory_format=torch.channels_last)
    images = torch.as_tensor(np.array(batch["image"]), device=device).permute(0, 3, 1, 2)  # which is channels_last
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)

    @torch.compile
    def loss_of(images: Any) -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            return torch.nn.functional.cross_entropy(network(images), labels)

    def call() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(images)
        loss.backward()
        optimizer.step()
        return settled(loss.detach())

    return call


def torch_product(size: int, *, bfloat16: bool) -> Callable[[], Any]:
    """Returns a call of a product of two matrices."""
    import torch

    a = torch.randn(size, size, device=torch_device(), dtype=torch.bfloat16 if bfloat16 else torch.float32)
    return lambda: settled(a @ a)
