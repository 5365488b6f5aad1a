"""The same operations in libraries of PyTorch, on the device that is named."""

# pyright: reportMissingImports=false
# The libraries measured against are installed only where they are measured.

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmark import torch_batched
from experiments.benchmark.torch_batched import DEGREES, HOLE, HUE, JITTER, PADDING

Call = Callable[[], Any]
Maker = Callable[[np.ndarray, np.ndarray], Call]


def torch_batch(images: np.ndarray, device: str = "cpu") -> Any:
    """Returns the images as a tensor `[N, C, H, W]` on the device."""
    import torch

    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).contiguous()


def kornia(device: str = "cpu") -> dict[str, Maker]:
    """Returns kornia's; each example has its own draws."""
    import kornia.augmentation as kornia

    def of(make_layer: Callable[[int, int], Any]) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            x, layer = torch_batch(images, device), make_layer(*images.shape[1:3])
            return lambda: layer(x)

        return make

    def with_labels(make_layer: Callable[[], Any]) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            import torch

            x, y, layer = torch_batch(images, device), torch.from_numpy(labels.argmax(1)).to(device), make_layer()
            return lambda: layer(x, y)

        return make

    keys = {"p": 1.0, "data_keys": ["input", "class"]}
    return {
        "flip": of(lambda h, w: kornia.RandomHorizontalFlip()),
        "crop": of(lambda h, w: kornia.RandomCrop((h, w), padding=PADDING)),
        "cutout": of(lambda h, w: kornia.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))),
        "rotate": of(lambda h, w: kornia.RandomRotation(DEGREES, p=1.0)),
        "resized crop": of(lambda h, w: kornia.RandomResizedCrop((h, w), p=1.0)),
        "color jitter": of(lambda h, w: kornia.ColorJitter(JITTER, JITTER, JITTER, HUE, p=1.0)),
        "mixup": with_labels(lambda: kornia.RandomMixUpV2(**keys)),
        "cutmix": with_labels(lambda: kornia.RandomCutMixV2(**keys)),
    }


def timm(device: str = "cpu") -> dict[str, Maker]:
    """Returns timm's; one draw for a batch."""
    from timm.data import Mixup

    def of(**options: Any) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            import torch

            mix = Mixup(num_classes=labels.shape[1], label_smoothing=0.0, **options)
            x, y = torch_batch(images, device), torch.from_numpy(labels.argmax(1)).to(device)
            return lambda: mix(x.clone(), y)  # it works in place

        return make

    return {"mixup": of(mixup_alpha=1.0, cutmix_alpha=0.0), "cutmix": of(mixup_alpha=0.0, cutmix_alpha=1.0)}


def torchvision(device: str = "cpu") -> dict[str, Maker]:
    """Returns torchvision's policies image by image, which is how each example has its own draws."""
    from torchvision.transforms import v2

    def image_by_image(transform: Any) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            import torch

            x = (torch_batch(images, device) * 255).to(torch.uint8)
            return lambda: torch.stack([transform(image) for image in x]).to(torch.float32) / 255

        return make

    return {
        "rand_augment": image_by_image(v2.RandAugment()),
        "trivial_augment": image_by_image(v2.TrivialAugmentWide()),
    }


def torchvision_batches(device: str = "cpu") -> dict[str, Maker]:
    """Returns torchvision's on a whole batch, which then shares one draw."""
    from torchvision.transforms import InterpolationMode, v2

    bilinear = {"interpolation": InterpolationMode.BILINEAR}

    def of(make_transform: Callable[[int, int], Any]) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            x, transform = torch_batch(images, device), make_transform(*images.shape[1:3])
            return lambda: transform(x)

        return make

    def with_labels(make_transform: Callable[[int], Any]) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            import torch

            x, transform = torch_batch(images, device), make_transform(labels.shape[1])
            y = torch.from_numpy(labels.argmax(1)).to(device)
            return lambda: transform(x, y)

        return make

    return {
        "flip": of(lambda h, w: v2.RandomHorizontalFlip(p=1.0)),
        "crop": of(lambda h, w: v2.RandomCrop((h, w), padding=PADDING)),
        "cutout": of(lambda h, w: v2.RandomErasing(p=1.0, scale=(HOLE**2, HOLE**2), ratio=(1.0, 1.0))),
        "random erasing": of(lambda h, w: v2.RandomErasing(p=1.0, scale=torch_batched.AREA)),
        "rotate": of(lambda h, w: v2.RandomRotation(DEGREES, **bilinear)),
        "resized crop": of(lambda h, w: v2.RandomResizedCrop((h, w))),
        "color jitter": of(lambda h, w: v2.ColorJitter(JITTER, JITTER, JITTER, HUE)),
        "mixup": with_labels(lambda k: v2.MixUp(alpha=1.0, num_classes=k)),
        "cutmix": with_labels(lambda k: v2.CutMix(alpha=1.0, num_classes=k)),
    }


def torch(
    device: str = "cpu", wrapped: Callable[[Any], Any] = lambda function: function, *, every: bool = False
) -> dict[str, Maker]:
    """Returns plain PyTorch for a whole batch; `wrapped` may be `torch.compile`.

    Unless `every` one is wanted as it is written for accelerators: on a CPU, CutMix and RICAP are faster by slices than
    by indexing.
    """

    def of(operation: str) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            import torch

            x, function = torch_batch(images, device), wrapped(torch_batched.OPERATIONS[operation])
            if operation not in torch_batched.MIXING:
                return lambda: function(x)
            y = torch.from_numpy(labels).to(device)
            return lambda: function(x, y)

        return make

    if every:
        return {operation: of(operation) for operation in torch_batched.OPERATIONS}
    return {
        **{operation: of(operation) for operation in ("flip", "rotate", "resized crop", "mixup")},
        "cutmix": _sliced(_cutmix),
        "ricap": _sliced(_ricap),
    }


def _sliced(function: Callable[[Any, np.random.Generator], Any]) -> Maker:
    def make(images: np.ndarray, labels: np.ndarray) -> Call:
        x, rng = torch_batch(images), np.random.default_rng(0)
        return lambda: function(x, rng)

    return make


def _cutmix(x: Any, rng: np.random.Generator) -> Any:
    """One box for the batch."""
    import torch

    h, w = x.shape[2:]
    out, side = x.clone(), np.sqrt(1 - rng.random())
    y0, x0 = int(rng.integers(h) - h * side / 2), int(rng.integers(w) - w * side / 2)
    rows, columns = slice(max(y0, 0), y0 + int(h * side)), slice(max(x0, 0), x0 + int(w * side))
    out[:, :, rows, columns] = x[torch.randperm(len(x))][:, :, rows, columns]
    return out


def _ricap(x: Any, rng: np.random.Generator) -> Any:
    """Slices in a loop over the examples: four crops each, as drawn for it."""
    import torch

    n, _, h, w = x.shape
    out, sources = torch.empty_like(x), [torch.randperm(n).tolist() for _ in range(4)]
    boundary = np.round(rng.beta(0.3, 0.3, (n, 2)) * (h, w)).astype(int)
    for i, (top, left) in enumerate(boundary.tolist()):
        patches = (
            (0, 0, top, left),
            (0, left, top, w - left),
            (top, 0, h - top, left),
            (top, left, h - top, w - left),
        )
        for k, (r, c, ph, pw) in enumerate(patches):
            y0, x0 = rng.integers(h - ph + 1), rng.integers(w - pw + 1)
            out[i, :, r : r + ph, c : c + pw] = x[sources[k][i], :, y0 : y0 + ph, x0 : x0 + pw]
    return out
