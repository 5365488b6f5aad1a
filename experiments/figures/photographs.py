"""Real images without a download: those that scikit-learn ships."""

import numpy as np


def photographs(side: int = 112) -> np.ndarray:
    """Returns six square crops of the two photographs, float32 `[6, side, side, 3]` in [0, 1]."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    boxes = {
        "china.jpg": [(0, 0, 260), (190, 150, 237), (380, 20, 260)],
        "flower.jpg": [(0, 60, 300), (210, 90, 300), (360, 160, 260)],
    }
    crops = []
    for name, squares in boxes.items():
        photograph = Image.fromarray(load_sample_image(name))
        for left, top, length in squares:
            box = (left, top, left + length, top + length)
            crops.append(np.asarray(photograph.crop(box).resize((side, side), Image.Resampling.BICUBIC)))
    return np.stack(crops).astype(np.float32) / 255


def digits(count: int, side: int = 112) -> np.ndarray:
    """Returns the first handwritten digits, enlarged without smoothing, float32 `[count, side, side, 3]` in [0, 1]."""
    from sklearn.datasets import load_digits

    pixels = np.asarray(load_digits(return_X_y=True)[0]).reshape(-1, 8, 8)[:count].astype(np.float32) / 16
    scale = side // pixels.shape[1]
    return np.repeat(pixels.repeat(scale, axis=1).repeat(scale, axis=2)[..., None], 3, axis=3)
