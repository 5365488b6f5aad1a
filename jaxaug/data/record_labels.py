"""Reads the labels of TFDS records, which are stored with the images, and caches them for large datasets."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxaug.data.decoding import in_chunks

_MIN_CACHED = 2**30  # bytes of records; fewer are read in seconds


def record_labels(source: Any, label_key: str, *, what: str) -> np.ndarray:
    """Returns the labels of a TFDS data source, int32 `[N]`, in its order."""
    labels = np.empty(len(source), np.int32)

    def work(chunk: range) -> None:
        labels[chunk.start : chunk.stop] = [record[label_key] for record in source.__getitems__(list(chunk))]

    in_chunks(work, len(source), what=f"labels of {what}")
    return labels


def stored_labels(files: Sequence[str], read: Callable[[], np.ndarray]) -> np.ndarray:
    """Returns the labels in these files, from the user's cache if reading them takes long.

    A cache entry is identified by the names, sizes and modification times of the files, and contains only numbers.
    """
    states = [os.stat(file) for file in files if os.path.exists(file)]
    if sum(state.st_size for state in states) < _MIN_CACHED:
        return read()
    identity = repr([(file, state.st_size, state.st_mtime_ns) for file, state in zip(files, states, strict=False)])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxaug"
    path = cache / f"labels-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npy"
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        labels = read()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Concurrent readers each write their own file, and the last one wins.
        with tempfile.NamedTemporaryFile(dir=cache, suffix=".tmp", delete=False) as file:
            np.save(file, labels)
        os.replace(file.name, path)
    except OSError:
        pass  # without a cache, the labels are read again next time
    return labels
