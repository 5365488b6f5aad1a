"""Decodes image files to uint8 arrays."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxaug.checks import one_line

if TYPE_CHECKING:
    from PIL import Image

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# Pillow supports more formats, but would start another program for PostScript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
Crop = Callable[[int, int], tuple[int, int, int, int]]
"""A function from the height and width of an image to a box inside it: top, left, height, width."""


def decoded(
    source: Path | bytes, *, where: str, channels: int, size: tuple[int, int] | None, crop: Crop | None = None
) -> np.ndarray:
    """Returns the image or a box of it as uint8 `[H, W, channels]`, resized to `size = (H, W)` unless that is None.

    Resizing is bilinear with antialiasing. Grayscale, palette and CMYK images are converted, and alpha channels are
    dropped. If the box of a JPEG is much larger than the output, the decoder directly produces a smaller image.

    Raises:
      ValueError: the image cannot be read, is truncated, has more than 8 bits per channel, or is so large that Pillow
        considers it a decompression bomb; the message starts with `where`.
    """
    from PIL import Image

    def pixels(image: "Image.Image") -> np.ndarray:
        full = image.size
        top, left, height, width = (0, 0, full[1], full[0]) if crop is None else crop(full[1], full[0])
        if crop is not None and size is not None:
            # Scales down only as long as the box has at least the pixels of the output.
            image.draft(image.mode, (math.ceil(size[1] * full[0] / width), math.ceil(size[0] * full[1] / height)))
        scale_x, scale_y = image.width / full[0], image.height / full[1]
        image = converted(image, MODES[channels])
        box = (left * scale_x, top * scale_y, (left + width) * scale_x, (top + height) * scale_y)
        target = (width, height) if size is None else (size[1], size[0])
        if box != (0, 0, *target) or image.size != target:
            image = image.resize(target, Image.Resampling.BILINEAR, box=box)
        return np.asarray(image).reshape(image.height, image.width, channels)

    return _from_open_image(source, where, pixels)


def image_size(source: Path, *, where: str) -> tuple[int, int]:
    """Returns (H, W) according to the header of the file."""
    return _from_open_image(source, where, lambda image: (image.height, image.width))


def converted(image: "Image.Image", mode: str) -> "Image.Image":
    """Returns the image in `mode`."""
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"it has Pillow's mode {image.mode}; expected 8 bits per channel")
    if image.mode == "P" and "transparency" in image.info:
        # With a direct conversion to RGB, Pillow would warn that it drops the transparency.
        image = image.convert("RGBA")
    return image if image.mode == mode else image.convert(mode)


def _from_open_image(source: Path | bytes, where: str, value: Callable[["Image.Image"], Any]) -> Any:
    from PIL import Image

    try:
        if isinstance(source, Path) and not source.is_file():  # Opening a pipe would block.
            raise ValueError("it is not a file, or a broken link")
        with (
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file,
            Image.open(file, formats=FORMATS) as image,
        ):
            # Above its limit, Pillow only warns; it raises above twice the limit.
            if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise ValueError(f"its {image.width} x {image.height} pixels look like a decompression bomb")
            return value(image)
    except Exception as error:  # Broken files raise many types: OSError, SyntaxError, struct.error, zlib.error.
        reason = one_line(str(error) or type(error).__name__).rstrip(".")
        raise ValueError(f"{one_line(where, limit=500)}: the image cannot be read: {reason}.") from error


def in_chunks(work: Callable[[range], None], total: int, *, what: str, size: int = 256) -> None:
    """Calls `work` on consecutive chunks of `range(total)` in threads, with a progress bar if there is a terminal.

    Raises the first error in the order of the chunks.
    """
    from concurrent.futures import ThreadPoolExecutor

    from tqdm import tqdm

    chunks = [range(start, min(start + size, total)) for start in range(0, total, size)]
    with ThreadPoolExecutor() as pool, tqdm(total=total, desc=what, unit="image", disable=None, leave=False) as bar:
        for chunk, _ in zip(chunks, pool.map(work, chunks), strict=True):
            bar.update(len(chunk))
