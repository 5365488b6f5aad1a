"""The same operations in other libraries, one function per operation and library.

Each takes a batch (float32 images in [0, 1], one-hot labels) and returns a call that augments it once. What a library
does not have is not listed. They are installed by the extra `bench`; PyTorch and torchvision are used where they are.
"""

# pyright: reportMissingImports=false
# The libraries measured against are installed only where they are measured.

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

Call = Callable[[], Any]
Maker = Callable[[np.ndarray, np.ndarray], Call]
DEGREES, PADDING, HOLE, JITTER = 15.0, 4, 0.5, 0.4


def peers() -> dict[str, dict[str, Maker]]:
    """Returns, by operation and library, how to make the call; only libraries that are installed."""
    found: dict[str, dict[str, Maker]] = {}
    for library, needs, table in (
        ("jnp", "jax", _jnp),
        ("dm_pix", "dm_pix", _dm_pix),
        ("augmax", "augmax", _augmax),
        ("keras", "keras", _keras),
        ("kornia", "kornia", _kornia),
        ("timm", "timm", _timm),
        ("torchvision", "torchvision", _torchvision),
        ("torch", "torch", _torch),
    ):
        if importlib.util.find_spec(needs) is not None:
            for operation, maker in table().items():
                found.setdefault(operation, {})[library] = maker
    return found


def _jitted(function: Callable[[Any, Any], Any], example_by_example: bool = True) -> Maker:
    """Returns a maker for a JAX function `(key, image)`, vmapped over the batch with a key each."""

    def make(images: np.ndarray, labels: np.ndarray) -> Call:
        import jax
        import jax.numpy as jnp

        x, key = jnp.asarray(images), jax.random.key(0)

        def over_batch(key: Any, x: Any) -> Any:
            return jax.vmap(function)(jax.random.split(key, x.shape[0]), x) if example_by_example else function(key, x)

        compiled = jax.jit(over_batch)
        return lambda: compiled(key, x)

    return make


def _jnp() -> dict[str, Maker]:
    """RICAP as one would first write it: indices by its definition, one advanced indexing."""
    import jax
    import jax.numpy as jnp

    def ricap(key: Any, x: Any) -> Any:
        n, h, w, _ = x.shape
        boundary_key, offset_key, *source_keys = jax.random.split(key, 6)
        extent = jnp.array([h, w])
        boundary = jnp.round(jax.random.beta(boundary_key, 0.3, 0.3, (n, 2)) * extent).astype(jnp.int32)
        top, left = boundary[:, 0], boundary[:, 1]
        heights, widths = jnp.stack([top, top, h - top, h - top], 1), jnp.stack([left, w - left, left, w - left], 1)
        offset = jax.random.randint(offset_key, (n, 4, 2), 0, extent - jnp.stack([heights, widths], 2) + 1)
        source = jnp.stack([jax.random.permutation(k, n) for k in source_keys], 1)
        i, j = jnp.arange(h)[None, :, None], jnp.arange(w)[None, None, :]
        below, right = i >= top[:, None, None], j >= left[:, None, None]
        patch, rows = 2 * below + right, jnp.arange(n)[:, None, None]
        row = offset[rows, patch, 0] + i - jnp.where(below, top[:, None, None], 0)
        column = offset[rows, patch, 1] + j - jnp.where(right, left[:, None, None], 0)
        return x[source[rows, patch], row, column]

    return {"ricap": _jitted(ricap, example_by_example=False)}


def _dm_pix() -> dict[str, Maker]:
    import dm_pix as pix
    import jax
    import jax.numpy as jnp

    def crop(key: Any, image: Any) -> Any:
        padded = jnp.pad(image, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)))
        return pix.random_crop(key, padded, image.shape)

    def rotate(key: Any, image: Any) -> Any:
        angle = jax.random.uniform(key, (), minval=-DEGREES, maxval=DEGREES)
        return pix.rotate(image, jnp.deg2rad(angle), order=1, mode="constant")

    def jitter(key: Any, image: Any) -> Any:
        a, b, c, d = jax.random.split(key, 4)
        image = pix.random_brightness(a, image, JITTER)
        image = pix.random_contrast(b, image, 1 - JITTER, 1 + JITTER)
        image = pix.random_saturation(c, image, 1 - JITTER, 1 + JITTER)
        return jnp.clip(pix.random_hue(d, image, 0.1), 0, 1)

    return {
        "flip": _jitted(pix.random_flip_left_right),
        "crop": _jitted(crop),
        "rotate": _jitted(rotate),
        "color jitter": _jitted(jitter),
    }


def _augmax() -> dict[str, Maker]:
    import augmax

    def of(*operations: Any) -> Maker:
        return _jitted(augmax.Chain(*operations))

    return {
        "flip": of(augmax.HorizontalFlip()),
        "rotate": of(augmax.Rotate((-DEGREES, DEGREES))),
        "color jitter": of(augmax.ColorJitter(brightness=JITTER, contrast=JITTER, saturation=JITTER, hue=0.1)),
    }


def _keras() -> dict[str, Maker]:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    def of(name: str, pairs: bool = False, **options: Any) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            import jax
            import jax.numpy as jnp

            layer = getattr(keras.layers, name)(**options)
            x: Any = {"images": jnp.asarray(images), "labels": jnp.asarray(labels)} if pairs else jnp.asarray(images)
            layer(x, training=True)
            state = [v.value for v in layer.non_trainable_variables]
            compiled = jax.jit(lambda state, x: layer.stateless_call([], state, x, training=True)[0])
            return lambda: compiled(state, x)

        return make

    side = (HOLE, HOLE)
    return {
        "flip": of("RandomFlip", mode="horizontal"),
        "cutout": of("RandomErasing", factor=1.0, scale=(0.25, 0.25), value_range=(0, 1), fill_value=0.0),
        "rotate": of("RandomRotation", factor=DEGREES / 360, fill_mode="constant"),
        "resized crop": of("RandomZoom", height_factor=side, width_factor=side),
        "color jitter": of(
            "RandomColorJitter",
            value_range=(0, 1),
            brightness_factor=JITTER,
            contrast_factor=JITTER,
            saturation_factor=(0.3, 0.7),
            hue_factor=0.1,
        ),
        "mixup": of("MixUp", pairs=True, alpha=1.0),
        "cutmix": of("CutMix", pairs=True),
        "rand_augment": of("RandAugment", value_range=(0, 1), num_ops=2),
    }


def _torch_batch(images: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def _kornia() -> dict[str, Maker]:
    import kornia.augmentation as kornia

    def of(make_layer: Callable[[int, int], Any]) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            x, layer = _torch_batch(images), make_layer(*images.shape[1:3])
            return lambda: layer(x)

        return make

    def with_labels(layer: Any) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            import torch

            x, y = _torch_batch(images), torch.from_numpy(labels.argmax(1))
            return lambda: layer(x, y)

        return make

    return {
        "flip": of(lambda h, w: kornia.RandomHorizontalFlip()),
        "crop": of(lambda h, w: kornia.RandomCrop((h, w), padding=PADDING)),
        "cutout": of(lambda h, w: kornia.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))),
        "rotate": of(lambda h, w: kornia.RandomRotation(DEGREES, p=1.0)),
        "resized crop": of(lambda h, w: kornia.RandomResizedCrop((h, w), p=1.0)),
        "color jitter": of(lambda h, w: kornia.ColorJitter(JITTER, JITTER, JITTER, 0.1, p=1.0)),
        "mixup": with_labels(kornia.RandomMixUpV2(p=1.0, data_keys=["input", "class"])),
        "cutmix": with_labels(kornia.RandomCutMixV2(p=1.0, data_keys=["input", "class"])),
    }


def _timm() -> dict[str, Maker]:
    from timm.data import Mixup

    def of(**options: Any) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            import torch

            mix = Mixup(num_classes=labels.shape[1], label_smoothing=0.0, **options)
            x, y = _torch_batch(images), torch.from_numpy(labels.argmax(1))
            return lambda: mix(x.clone(), y)  # it works in place

        return make

    return {"mixup": of(mixup_alpha=1.0, cutmix_alpha=0.0), "cutmix": of(mixup_alpha=0.0, cutmix_alpha=1.0)}


def _torchvision() -> dict[str, Maker]:
    from torchvision.transforms import v2

    def image_by_image(transform: Any) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            import torch

            x = (_torch_batch(images) * 255).to(torch.uint8)
            return lambda: torch.stack([transform(image) for image in x]).to(torch.float32) / 255

        return make

    return {
        "rand_augment": image_by_image(v2.RandAugment()),
        "trivial_augment": image_by_image(v2.TrivialAugmentWide()),
    }


def _torch() -> dict[str, Maker]:
    """Plain PyTorch, as one would write it for a whole batch."""
    import torch

    rng = np.random.default_rng(0)

    def of(function: Callable[[Any], Any]) -> Maker:
        def make(images: np.ndarray, labels: np.ndarray) -> Call:
            x = _torch_batch(images)
            return lambda: function(x)

        return make

    def flip(x: Any) -> Any:
        return torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)

    def sampled(x: Any, matrix: Any) -> Any:
        grid = torch.nn.functional.affine_grid(matrix, list(x.shape), align_corners=False)
        return torch.nn.functional.grid_sample(x, grid, align_corners=False)

    def rotate(x: Any) -> Any:
        angle = torch.deg2rad((2 * torch.rand(len(x)) - 1) * DEGREES)
        cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros(len(x))
        return sampled(x, torch.stack([cos, -sin, zero, sin, cos, zero], 1).reshape(-1, 2, 3))

    def resized_crop(x: Any) -> Any:
        area = 0.08 + 0.92 * torch.rand(len(x))
        aspect = torch.exp((2 * torch.rand(len(x)) - 1) * float(np.log(4 / 3)))
        w, h = torch.sqrt(area * aspect).clamp(max=1), torch.sqrt(area / aspect).clamp(max=1)
        dx, dy = (2 * torch.rand(len(x)) - 1) * (1 - w), (2 * torch.rand(len(x)) - 1) * (1 - h)
        zero = torch.zeros(len(x))
        return sampled(x, torch.stack([w, zero, dx, zero, h, dy], 1).reshape(-1, 2, 3))

    def mixup(x: Any) -> Any:
        weight = torch.rand(len(x), 1, 1, 1)
        return weight * x + (1 - weight) * x[torch.randperm(len(x))]

    def cutmix(x: Any) -> Any:
        h, w = x.shape[2:]
        out, side = x.clone(), np.sqrt(1 - rng.random())
        y0, x0 = int(rng.integers(h) - h * side / 2), int(rng.integers(w) - w * side / 2)
        rows, columns = slice(max(y0, 0), y0 + int(h * side)), slice(max(x0, 0), x0 + int(w * side))
        out[:, :, rows, columns] = x[torch.randperm(len(x))][:, :, rows, columns]
        return out

    def ricap(x: Any) -> Any:
        """Slices in a loop over the examples: four crops each, as drawn for it."""
        n, _, h, w = x.shape
        out, sources = torch.empty_like(x), [torch.randperm(n).tolist() for _ in range(4)]
        boundary = np.round(rng.beta(0.3, 0.3, (n, 2)) * (h, w)).astype(int)
        for i, (top, left) in enumerate(boundary.tolist()):
            for k, (r, c, ph, pw) in enumerate(
                (
                    (0, 0, top, left),
                    (0, left, top, w - left),
                    (top, 0, h - top, left),
                    (top, left, h - top, w - left),
                )
            ):
                y0, x0 = rng.integers(h - ph + 1), rng.integers(w - pw + 1)
                out[i, :, r : r + ph, c : c + pw] = x[sources[k][i], :, y0 : y0 + ph, x0 : x0 + pw]
        return out

    return {
        "flip": of(flip),
        "rotate": of(rotate),
        "resized crop": of(resized_crop),
        "mixup": of(mixup),
        "cutmix": of(cutmix),
        "ricap": of(ricap),
    }
