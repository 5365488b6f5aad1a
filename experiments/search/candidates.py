"""The default candidates: augmentations over grids of magnitudes, mixing, and pairs."""

from collections.abc import Iterable

from experiments.run.policy import Policy


def default_candidates(shape: tuple[int, ...]) -> list[Policy]:
    """Returns the candidates for images `(H, W, C)` or feature vectors `(D,)`, starting with no augmentation."""
    return [Policy(), *(images(shape[0], shape[2]) if len(shape) == 3 else features())]


def features() -> list[Policy]:
    """Returns noise, mixup and both combined, for feature vectors."""
    noises = _grid("gaussian_noise", "stddev", (0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5))
    mixups = _grid("mixup", "alpha", (0.1, 0.2, 0.4, 1.0, 2.0, 4.0))
    singles = [Policy((noise,)) for noise in noises] + [Policy((), mixup) for mixup in mixups]
    return singles + [Policy((noise,), mixup) for noise in noises[::2] for mixup in mixups[::2]]


def images(side: int, channels: int) -> list[Policy]:
    """Returns the candidates for images; color operations only with three channels."""
    crop, cutout = f"crop(padding={max(1, side // 8)})", f"cutout(size={max(1, side // 4)})"
    singles = [
        "flip_left_right",
        crop,
        cutout,
        f"cutout(size={max(2, side // 2)})",
        *_grid("translate", "fraction", (0.05, 0.1, 0.2)),
        *_grid("rotate", "degrees", (5.0, 10.0, 20.0, 40.0)),
        *_grid("shear", "degrees", (5.0, 10.0, 20.0)),
        *_grid("zoom", "factor", ((0.9, 1.1), (0.8, 1.25), (0.6, 1.6))),
        *_grid("brightness", "strength", (0.2, 0.5)),
        *_grid("contrast", "strength", (0.2, 0.5)),
        *_grid("gaussian_noise", "stddev", (0.03, 0.1, 0.2)),
        "gaussian_blur(sigma=0.5, radius=2)",
        "gaussian_blur(sigma=1.0, radius=2)",
        "random_erasing(prob=0.5)",
        "trivial_augment",
    ]
    if channels == 3:
        singles += [*_grid("saturation", "strength", (0.3, 0.8)), *_grid("hue", "strength", (0.05, 0.2))]
    mixing = [
        *_grid("mixup", "alpha", (0.2, 0.5, 1.0)),
        *_grid("cutmix", "alpha", (0.5, 1.0)),
        *_grid("ricap", "beta", (0.1, 0.3, 1.0)),
    ]
    pairs = [
        Policy((crop, "flip_left_right")),
        Policy((crop, cutout)),
        Policy((crop, "rotate(degrees=10.0)")),
        Policy(("rotate(degrees=10.0)", "gaussian_noise(stddev=0.1)")),
        Policy((crop,), "mixup(alpha=0.2)"),
        Policy((crop,), "ricap(beta=0.3)"),
        *(Policy(("rotate(degrees=10.0)",), mix) for mix in ("mixup(alpha=0.2)", "cutmix(alpha=1.0)")),
        *(Policy(("translate(fraction=0.05)",), mix) for mix in ("mixup(alpha=0.2)", "ricap(beta=0.1)")),
    ]
    return [Policy((single,)) for single in singles] + [Policy((), mix) for mix in mixing] + pairs


def _grid(name: str, option: str, values: Iterable[object]) -> list[str]:
    return [f"{name}({option}={value})" for value in values]
