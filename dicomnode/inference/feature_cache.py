"""Keep what a model knew of images, so that no image is encoded twice, within a bound of memory."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import ModelIdentity

MOST_BYTES = 512 << 20


class FeatureCache:
    """Features of batches of images by what they were made of; those that were not asked for the longest go first.

    All jobs of a process share one. A key stands for everything that the features depend on, so that they are the same
    whether they are found here or made again; any thread may ask.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, tuple[Sequence[Any], int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: bytes) -> Sequence[Any] | None:
        """Return the features kept under `key`, None where there are none."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: bytes, features: Sequence[Any], size: int) -> None:
        """Keep `features`, which take `size` bytes, under `key`; none are kept of no size or of more than the bound."""
        with self._lock:
            if not 0 < size <= self._most_bytes or key in self._kept:
                return
            while self._bytes + size > self._most_bytes:
                _, (_, gone) = self._kept.popitem(last=False)
                self._bytes -= gone
            self._kept[key] = (features, size)
            self._bytes += size

    def clear(self) -> None:
        """Give back the memory."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0


def key_of(model: ModelIdentity, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> bytes:
    """Return the sha256 over all that the features of `images`, encoded together in this order, depend on."""
    digest = hashlib.sha256(json.dumps([asdict(model), spacing], sort_keys=True).encode())
    for image in images:
        digest.update(f"{image.shape}{image.dtype.str}".encode())
        digest.update(np.ascontiguousarray(image).data)
    return digest.digest()
