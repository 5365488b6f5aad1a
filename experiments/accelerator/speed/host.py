"""What the host decodes, by the library's own decoder, on all cores."""

import concurrent.futures
import importlib.util
import io
import time
from typing import Any

import numpy as np

from experiments.accelerator.item import Item, Options
from experiments.accelerator.speed.scales import Sizes, sizes
from experiments.accelerator.speed.turns import rounded
from jaxaug.data import load
from jaxaug.data.decoding import decoded
from jaxaug.training import cpu_count

CHUNK = 128


def items(options: Options) -> list[Item]:
    """Returns the item of images of a photograph's size, and that of a folder if there is one."""
    size = sizes(options.scale)
    height, width = size.photograph_size
    stored = {"images": size.photographs, "stored": f"JPEG {height} x {width}", "decoded": "224 x 224"}
    found = [Item("speed", f"decode JPEG {height} x {width}", 4.0, lambda: decoded_photographs(size), stored)]
    if options.data is not None:
        data = options.data
        found.append(Item("speed", "decode a folder", 6.0, lambda: decoded_folder(size, data), {"data": data}))
    return found


def decoded_photographs(size: Sizes) -> dict[str, Any]:
    """Returns images per second of a drawn image of a photograph's size, decoded and resized."""
    from PIL import Image

    rng = np.random.default_rng(0)
    height, width = size.photograph_size
    coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)  # smooth with some noise, so that its size is a photograph's
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noisy = np.asarray(image, np.int16) + rng.integers(-12, 13, (height, width, 3), np.int16)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    content = file.getvalue()

    def decode(places: range) -> list[np.ndarray]:
        return [decoded(content, where="drawn", channels=3, size=(224, 224)) for _ in places]

    return {"bytes_of_a_file": len(content)} | in_threads(decode, size.photographs)


def decoded_folder(size: Sizes, data: str) -> dict[str, Any]:
    """Returns images per second of a folder's training images."""
    # A size is given so that not every header is read to find the most common one.
    first = load(data, image_size=32, stream=True).train.images
    images = first[: size.decoded]

    def decode(places: range) -> list[np.ndarray]:
        return [each.image for each in images.decoded(places)]

    result = {"images": len(images)} | in_threads(decode, len(images))
    if importlib.util.find_spec("grain") is None:
        result["without"] = "grain is not installed: decoding alone, no streaming to the device"
    return result


def in_threads(decode: Any, total: int) -> dict[str, Any]:
    """Returns images per second in one thread, on a part of them, and in a thread per core."""
    cores = cpu_count()
    chunks = [range(start, min(start + CHUNK, total)) for start in range(0, total, CHUNK)]
    part = chunks[: max(1, len(chunks) // cores)]
    rates = {}
    for threads, own in ((1, part), (cores, chunks)):
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            began = time.perf_counter()
            list(pool.map(decode, own))
            rates[threads] = sum(map(len, own)) / (time.perf_counter() - began)
    return {
        "images_per_second": rounded(rates[cores]),
        "images_per_second_of_one_thread": rounded(rates[1]),
        "threads": cores,
    }
