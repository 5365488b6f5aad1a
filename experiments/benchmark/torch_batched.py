"""Augmentations in plain PyTorch, written for a whole batch: every example has its own draws, made on its device.

Images are `[N, C, H, W]` in [0, 1]. Functions that mix take and return labels `[N, K]`, too. Nothing waits for the
device, so all of them can be compiled and recorded as CUDA graphs.
"""

# pyright: reportMissingImports=false
# PyTorch is installed only where it is measured.

import math
from typing import Any

DEGREES, PADDING, HOLE, JITTER, HUE = 15.0, 4, 0.5, 0.4, 0.1
AREA, ASPECT = (0.02, 0.4), 10 / 3  # of an erased box


def _uniform(x: Any, low: float, high: float) -> Any:
    import torch

    return low + (high - low) * torch.rand(len(x), device=x.device)


def _column(draw: Any) -> Any:
    """Returns numbers per example in a shape that multiplies images."""
    return draw.reshape(-1, 1, 1, 1)


def _partners(x: Any) -> Any:
    """Returns a permutation of the batch."""
    import torch

    return torch.rand(len(x), device=x.device).argsort()


def _inside(x: Any, top: Any, left: Any, height: Any, width: Any) -> Any:
    """Returns where the pixels of a box per example are, bool `[N, 1, H, W]`."""
    import torch

    rows = torch.arange(x.shape[2], device=x.device).reshape(1, 1, -1, 1)
    columns = torch.arange(x.shape[3], device=x.device).reshape(1, 1, 1, -1)
    top, left, height, width = map(_column, (top, left, height, width))
    return (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)


def _sampled(x: Any, matrix: Any) -> Any:
    import torch

    grid = torch.nn.functional.affine_grid(matrix, list(x.shape), align_corners=False)
    return torch.nn.functional.grid_sample(x, grid, align_corners=False)


def flip(x: Any) -> Any:
    """Mirrors half of the examples."""
    import torch

    return torch.where(_column(_uniform(x, 0, 1)) < 0.5, x.flip(3), x)


def crop(x: Any) -> Any:
    """Pads with zeros and crops to the same size."""
    import torch

    n, c, h, w = x.shape
    padded = torch.nn.functional.pad(x, 4 * (PADDING,))
    offset = torch.randint(0, 2 * PADDING + 1, (2, n, 1), device=x.device)
    rows = (offset[0] + torch.arange(h, device=x.device)).reshape(n, 1, h, 1)
    columns = (offset[1] + torch.arange(w, device=x.device)).reshape(n, 1, 1, w)
    examples = torch.arange(n, device=x.device).reshape(n, 1, 1, 1)
    return padded[examples, torch.arange(c, device=x.device).reshape(1, c, 1, 1), rows, columns]


def cutout(x: Any) -> Any:
    """Blackens a square around a uniform center, clipped at the border."""
    h, w = x.shape[2:]
    side = int(HOLE * h)
    top, left = (_uniform(x, 0, size).floor() - side // 2 for size in (h, w))
    return x * ~_inside(x, top, left, side + 0 * top, side + 0 * left)


def random_erasing(x: Any) -> Any:
    """Blackens a box of random area and aspect in half of the examples."""
    h, w = x.shape[2:]
    area, aspect = h * w * _uniform(x, *AREA), _uniform(x, -math.log(ASPECT), math.log(ASPECT)).exp()
    height, width = (area / aspect).sqrt().clamp(1, h).round(), (area * aspect).sqrt().clamp(1, w).round()
    top, left = ((_uniform(x, 0, 1) * (size - box + 1)).floor() for size, box in ((h, height), (w, width)))
    return x * ~(_inside(x, top, left, height, width) & (_column(_uniform(x, 0, 1)) < 0.5))


def rotate(x: Any) -> Any:
    """Rotates about the center, bilinear, black border."""
    import torch

    angle = torch.deg2rad(_uniform(x, -DEGREES, DEGREES))
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
    return _sampled(x, torch.stack([cos, -sin, zero, sin, cos, zero], 1).reshape(-1, 2, 3))


def resized_crop(x: Any) -> Any:
    """Resizes a box of 8 to 100 % of the area to the size of the image, bilinear."""
    import torch

    area, aspect = _uniform(x, 0.08, 1), _uniform(x, -math.log(4 / 3), math.log(4 / 3)).exp()
    w, h = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    dx, dy = _uniform(x, -1, 1) * (1 - w), _uniform(x, -1, 1) * (1 - h)
    zero = torch.zeros_like(w)
    return _sampled(x, torch.stack([w, zero, dx, zero, h, dy], 1).reshape(-1, 2, 3))


def _gray(x: Any) -> Any:
    return 0.299 * x[:, :1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:]


def _blended(x: Any, other: Any, strength: float) -> Any:
    factor = _column(_uniform(x, 1 - strength, 1 + strength))
    return (factor * x + (1 - factor) * other).clamp(0, 1)


def _hue_shifted(x: Any, turns: Any) -> Any:
    """Returns the images with their hue in HSV moved by turns per example."""
    import torch

    value, smallest = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    r, g, b = x[:, :1], x[:, 1:2], x[:, 2:]
    chroma = value - smallest
    safe = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    hue = torch.where(value == r, (g - b) / safe, torch.where(value == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    hue = hue + 6 * _column(turns)
    k = (torch.arange(5, 0, -2, device=x.device).reshape(1, 3, 1, 1) + hue) % 6  # f(n) = V - C max(0, min(k, 4 - k, 1))
    return value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)


def color_jitter(x: Any) -> Any:
    """Changes brightness, contrast, saturation and hue, in this order."""
    x = (x * _column(_uniform(x, 1 - JITTER, 1 + JITTER))).clamp(0, 1)
    x = _blended(x, _gray(x).mean((2, 3), keepdim=True), JITTER)
    x = _blended(x, _gray(x), JITTER)
    return _hue_shifted(x, _uniform(x, -HUE, HUE))


def _mixed_labels(y: Any, partner: Any, weight: Any) -> Any:
    weight = weight.reshape(-1, 1)
    return weight * y + (1 - weight) * y[partner]


def mixup(x: Any, y: Any) -> Any:
    """Mixes with a partner by a uniform weight, which is Beta(1, 1)."""
    partner, weight = _partners(x), _uniform(x, 0, 1)
    return _column(weight) * x + (1 - _column(weight)) * x[partner], _mixed_labels(y, partner, weight)


def cutmix(x: Any, y: Any) -> Any:
    """Pastes a box of a partner, of uniform area around a uniform center, clipped at the border."""
    import torch

    h, w = x.shape[2:]
    partner, side = _partners(x), _uniform(x, 0, 1).sqrt()
    height, width = (h * side).floor(), (w * side).floor()
    top, left = ((_uniform(x, 0, 1) * size).floor() - (box / 2).floor() for size, box in ((h, height), (w, width)))
    pasted = _inside(x, top, left, height, width)
    kept = 1 - pasted.float().mean((1, 2, 3))
    return torch.where(pasted, x[partner], x), _mixed_labels(y, partner, kept)


def ricap(x: Any, y: Any) -> Any:
    """Patches four images together by one advanced indexing, boundaries from Beta(0.3, 0.3)."""
    import torch

    n, c, h, w = x.shape
    # The first of two shares from Dirichlet(0.3, 0.3) is Beta(0.3, 0.3); torch.distributions checks on the host.
    beta = torch._sample_dirichlet(torch.full((2, n, 2), 0.3, device=x.device))[..., 0]
    top, left = (h * beta[0]).round().long(), (w * beta[1]).round().long()
    heights, widths = torch.stack([top, top, h - top, h - top], 1), torch.stack([left, w - left, left, w - left], 1)
    room = torch.stack([h - heights, w - widths], 2) + 1
    offset = (torch.rand(n, 4, 2, device=x.device) * room).long()
    source = torch.stack([_partners(x) for _ in range(4)], 1)
    i, j = torch.arange(h, device=x.device).reshape(1, h, 1), torch.arange(w, device=x.device).reshape(1, 1, w)
    below, right = i >= top.reshape(n, 1, 1), j >= left.reshape(n, 1, 1)
    patch, examples = 2 * below.long() + right.long(), torch.arange(n, device=x.device).reshape(n, 1, 1)
    row = offset[examples, patch, 0] + i - torch.where(below, top.reshape(n, 1, 1), 0)
    column = offset[examples, patch, 1] + j - torch.where(right, left.reshape(n, 1, 1), 0)
    channels = torch.arange(c, device=x.device).reshape(1, c, 1, 1)
    images = x[source[examples, patch].unsqueeze(1), channels, row.unsqueeze(1), column.unsqueeze(1)]
    weight = (heights * widths).float() / (h * w)
    return images, (weight.unsqueeze(2) * y[source]).sum(1)


OPERATIONS = {
    "flip": flip,
    "crop": crop,
    "cutout": cutout,
    "random erasing": random_erasing,
    "rotate": rotate,
    "resized crop": resized_crop,
    "color jitter": color_jitter,
    "mixup": mixup,
    "cutmix": cutmix,
    "ricap": ricap,
}
MIXING = {"mixup", "cutmix", "ricap"}
