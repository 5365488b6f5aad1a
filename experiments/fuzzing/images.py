"""Targets that read images: encoded bytes, and folders of files."""

import io
import os
import pathlib
import random
import shutil
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from experiments.fuzzing.harness import Target
from experiments.fuzzing.mutation import mutated
from jaxaug.data import load
from jaxaug.data.decoding import decoded

NUMBERS = tuple(
    struct.pack(order + kind, value)
    for order in "<>"
    for kind, values in (("H", (0, 1, 0x7FFF, 0xFFFF)), ("I", (0, 1, 9_000, 70_000, 2**31 - 1, 2**32 - 1)))
    for value in values
)
MARKS = (
    *(b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xc0", b"\xff\xc2"),
    *(b"\xff\xc4", b"\xff\xe1Exif\0\0", b"IHDR", b"IDAT"),
    *(b"IEND", b"PLTE", b"tRNS", b"zTXt", b"iCCP", b"eXIf", b"acTL", b"GIF89a", b"!\xf9\x04", b"!\xff\x0bNETSCAPE2.0"),
    *(b"II*\0", b"MM\0*", b"BM", b"RIFF", b"\0" * 400),
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
)  # fmt: skip
# Complete files of unsupported types; for PostScript, Pillow would start another program.
OTHERS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n",
    *(b"", b"x", b"P6 2 2 255\n" + b"x" * 12, b"\x89HDF\r\n\x1a\n" + b"\0" * 64, b"BUFR" + b"\0" * 40, b"GRIB\0\0\0\1"),
    *(b"\xd7\xcd\xc6\x9a" + b"\0" * 60, b"SIMPLE  =                    T" + b" " * 50, b"8BPS\0\1" + b"\0" * 40),
    *(b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0\0\1\0\1\0\0\0" + b"\xff" * 30, b"%PDF-1.7\n"),
)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Returns the bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pictures() -> tuple[bytes, ...]:
    """Returns small files of all supported types."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 9, 4), np.uint8)
    rgba = Image.fromarray(noise)
    rgb, gray, palette = rgba.convert("RGB"), rgba.convert("L"), rgba.convert("RGB").convert("P")
    return (
        encode(rgb, "JPEG"),
        encode(gray, "JPEG", progressive=True),
        encode(rgb.convert("CMYK"), "JPEG", comment=b"x"),
        *(encode(image, "PNG") for image in (rgb, rgba, gray, palette, gray.convert("1"), gray.convert("LA"))),
        encode(palette, "PNG", transparency=3),
        encode(gray.convert("I;16"), "PNG"),
        encode(palette, "GIF", save_all=True, append_images=[palette.rotate(90)], loop=0),
        *(encode(image, "BMP") for image in (rgb, palette)),
        *(encode(rgb, "TIFF", compression=c) for c in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
        *(encode(rgb, "WEBP", lossless=lossless) for lossless in (True, False)),
    )


def png(width: int, height: int) -> bytes:
    """Returns a tiny one-bit PNG of zeros: a decompression bomb if width and height are large."""
    compressor = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(compressor.compress(row * min(64, height - top)) for top in range(0, height, 64))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", data + compressor.flush()), (b"IEND", b""))
    return with_checksums(
        b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(d)) + n + d + b"0000" for n, d in parts)
    )


def with_checksums(data: bytes) -> bytes:
    """Returns the bytes of a PNG with corrected checksums, so that damage reaches the code behind their check."""
    out, place = bytearray(data), 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        out[end : end + 4] = struct.pack(">I", zlib.crc32(data[place + 4 : end]))
        place = end + 4
    return bytes(out[: len(data)])


def images() -> Target:
    """Returns the target that decodes images."""
    examples = pictures()
    # As many pixels as Pillow accepts, a few more, and far too many.
    bombs = (png(9_400, 9_400), png(9_500, 9_500), png(1_000, 1_000_000))

    def generate(rng: random.Random, folder: pathlib.Path) -> tuple[bytes, int, tuple[int, int] | None]:
        data = rng.choice(OTHERS if rng.random() < 0.1 else examples)
        if rng.random() < 0.002:
            data = rng.choice(bombs)
        else:
            data = mutated(rng, data, examples, NUMBERS if rng.random() < 0.5 else MARKS)
            if rng.random() < 0.3 and data:  # a number in the header
                place, number = rng.randrange(min(len(data), 40)), rng.choice(NUMBERS)
                data = data[:place] + number + data[place + len(number) :]
        data = with_checksums(data) if rng.random() < 0.7 and data.startswith(b"\x89PNG") else data
        return data, rng.choice((1, 3, 4)), rng.choice((None, (8, 6)))

    def read(data_channels_size: tuple[bytes, int, tuple[int, int] | None]) -> None:
        data, channels, size = data_channels_size
        pixels = decoded(data, where="an image", channels=channels, size=size)
        assert pixels.dtype == np.uint8, "pixels have the wrong dtype"
        assert pixels.shape[2] == channels, "pixels have the wrong number of channels"
        assert size in (None, pixels.shape[:2]), "pixels have the wrong size"

    return Target("images", 0.10, generate, read, seconds=10.0, gibibytes=1.5)


NAMES = (
    *("a.png", "a b.png", "ü.jpg", "\u732b.PNG", ".png", "..png"),
    *("a.png.jpg", "-rf.png", "$(x).png", "'\".jpeg", "%s{}.png"),
    *("a\nb.png", "\x1b[2J.png", "\udcff.png", "x" * 200 + ".png"),
    *("con.png", "a.txt", "~.png", "*.png", "\u202egnp.exe.png"),
)  # fmt: skip
ODD = ("damaged", "other", "empty", "folder", "loop", "nowhere", "link", "pipe", "text")
FOLDERS = ("train", "test", "val", "validation", "Train", "train\n")


def folders() -> Target:
    """Returns the target that reads a folder of images."""
    examples = pictures()

    def fill(rng: random.Random, path: pathlib.Path) -> None:
        match rng.choice(("image",) * 100 + ODD):
            case "image":
                path.write_bytes(rng.choice(examples))
            case "damaged":
                path.write_bytes(mutated(rng, rng.choice(examples), examples, MARKS))
            case "other":
                path.write_bytes(rng.choice(OTHERS))
            case "empty":
                path.touch()
            case "folder":
                path.mkdir()
            case "loop":
                path.symlink_to(path)
            case "nowhere":
                path.symlink_to("../../../nowhere")
            case "pipe":
                os.mkfifo(path)
            case "link":
                path.symlink_to(path.parent)
            case _:
                path.write_text("not an image")

    def generate(rng: random.Random, folder: pathlib.Path) -> str:
        root = folder / rng.choice(("data", "d a", "d\u00fc", "d.png"))
        for old in folder.iterdir():
            shutil.rmtree(old)
        splits = ["train", "test", *rng.sample(FOLDERS, 2)] if rng.random() < 0.9 else rng.sample(FOLDERS, 3)
        classes = rng.sample(NAMES, 2)
        for split in dict.fromkeys(splits):
            for name in classes if rng.random() < 0.95 else rng.sample(NAMES, 2):
                (root / split / name).mkdir(parents=True)
                for file in rng.sample(NAMES, rng.choice((1, 2, 2, 5))):
                    fill(rng, root / split / name / file)
        return str(root)

    def read(path: str) -> None:
        dataset = load(f"folder:{path}")
        for split in dataset.splits.values():
            assert split.images.shape == (len(split.labels), *dataset.shape), "images have the wrong shape"
            assert max(split.labels) < len(dataset.class_names), "a label has no class"

    return Target("folders", 0.005, generate, read, seconds=4.0)
