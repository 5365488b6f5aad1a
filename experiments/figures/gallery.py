"""A contact sheet of augmentations at three strengths."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxaug import augment, mix

SIDE, GAP, LEFT, LINE = 112, 4, 190, 16

# Three settings of each function, weak to strong; the other functions are drawn with their defaults.
STRENGTHS: dict[str, list[dict[str, Any]]] = {
    "flip_left_right": [{"prob": p} for p in (0.0, 0.5, 1.0)],
    "flip_up_down": [{"prob": p} for p in (0.0, 0.5, 1.0)],
    "crop": [{"padding": p} for p in (4, 14, 40)],
    "resized_crop": [{"area": a} for a in ((0.6, 0.9), (0.3, 0.5), (0.05, 0.15))],
    "translate": [{"fraction": f} for f in (0.1, 0.3, 0.6)],
    "rotate": [{"degrees": d} for d in (10.0, 30.0, 90.0)],
    "shear": [{"degrees": d} for d in (10.0, 25.0, 45.0)],
    "zoom": [{"factor": f} for f in ((0.9, 1.1), (0.6, 1.6), (0.3, 3.0))],
    "brightness": [{"strength": s} for s in (0.2, 0.5, 0.9)],
    "contrast": [{"strength": s} for s in (0.2, 0.5, 0.9)],
    "saturation": [{"strength": s} for s in (0.2, 0.5, 0.9)],
    "hue": [{"strength": s} for s in (0.05, 0.15, 0.5)],
    "color_jitter": [
        {"brightness": s, "contrast": s, "saturation": s, "hue": h} for s, h in ((0.2, 0.05), (0.4, 0.1), (0.8, 0.3))
    ],
    "grayscale": [{"prob": p} for p in (0.0, 0.5, 1.0)],
    "invert": [{"prob": p} for p in (0.0, 0.5, 1.0)],
    "solarize": [{"threshold": t} for t in (0.9, 0.6, 0.3)],
    "posterize": [{"bits": b} for b in (5, 3, 1)],
    "autocontrast": [{"prob": p} for p in (0.0, 0.5, 1.0)],
    "equalize": [{"prob": p} for p in (0.0, 0.5, 1.0)],
    "sharpness": [{"strength": s} for s in (0.5, 1.0, 4.0)],
    "gaussian_blur": [{"sigma": s} for s in (1.0, 2.5, 6.0)],
    "cutout": [{"size": s} for s in (16, 40, 80)],
    "random_erasing": [{"area": a, "prob": 1.0} for a in ((0.02, 0.1), (0.1, 0.3), (0.3, 0.6))],
    "gaussian_noise": [{"stddev": s} for s in (0.05, 0.15, 0.4)],
    "rand_augment": [{"magnitude": m} for m in (2.0, 6.0, 10.0)],
    "mixup": [{"alpha": a} for a in (0.2, 1.0, 5.0)],
    "cutmix": [{"alpha": a} for a in (0.2, 1.0, 5.0)],
    "ricap": [{"beta": b} for b in (0.1, 0.3, 5.0)],
}
NOT_DRAWN = {"RicapPlan", "ricap_plan", "apply_ricap", "mix_labels"}


def names() -> list[str]:
    """Returns every function that can be drawn."""
    return [name for name in (*augment.__all__, *mix.__all__) if name not in NOT_DRAWN]


def augmented(name: str, images: np.ndarray, options: dict[str, Any], key: jax.Array) -> np.ndarray:
    """Returns the images after one function."""
    if name in mix.__all__:
        out, _ = getattr(mix, name)(key, jnp.asarray(images), jnp.eye(len(images)), **options)
    else:
        out = getattr(augment, name)(key, jnp.asarray(images), **options)
    return np.asarray(out)


def option_text(options: dict[str, Any]) -> str:
    """Returns the first option as written in a call."""
    for name, value in options.items():
        shown = ", ".join(f"{v:g}" for v in (value if isinstance(value, tuple) else (value,)))
        return f"{name}=({shown})" if isinstance(value, tuple) else f"{name}={shown}"
    return ""


def sheet(functions: list[str], images: np.ndarray, seed: int) -> np.ndarray:
    """Returns the sheet, uint8 `[H, W, 3]`: a row per function with three settings of all images."""
    from PIL import Image, ImageDraw

    cell, count = SIDE + GAP, len(images)
    width = LEFT + 3 * (count * cell + 2 * GAP)
    picture = Image.new("RGB", (width, len(functions) * (cell + LINE) + GAP), "white")
    draw = ImageDraw.Draw(picture)
    for row, name in enumerate(functions):
        top = row * (cell + LINE) + GAP
        draw.text((GAP, top + LINE + SIDE // 2 - 8), name, fill="black", font_size=16)
        for column, options in enumerate((STRENGTHS.get(name) or [{}]) * (1 if name in STRENGTHS else 3)):
            left = LEFT + column * (count * cell + 2 * GAP)
            draw.text((left, top), option_text(options), fill="black", font_size=12)
            key = jax.random.fold_in(jax.random.key(seed), 0 if name in STRENGTHS else column)
            for place, out in enumerate(augmented(name, images, options, key)):
                pixels = np.round(np.clip(out, 0, 1) * 255).astype(np.uint8)
                picture.paste(Image.fromarray(pixels), (left + place * cell, top + LINE))
    return np.asarray(picture)
