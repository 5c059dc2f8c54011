"""Turn the values of planes into what a picture shows."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_QUANTILES = (0.01, 0.99)
_ENOUGH = 250_000  # values of one part


def window_of(parts: Iterable[NDArray[Any]]) -> tuple[float, float]:
    """Return the values that are shown black and white: the 1 % and 99 % quantiles of all `parts`.

    Of large ones some values stand for all.
    """
    some = [part.reshape(-1)[:: max(1, part.size // _ENOUGH)] for part in parts]
    low, high = np.quantile(np.concatenate(some), _QUANTILES)
    return float(low), float(high)


def rgb(values: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Return `values`, as `Plane.shown` returns them, as (..., 3) uint8; colours stay as they are."""
    if values.dtype == np.uint8:
        return values
    low, high = window
    grey = np.clip((values - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
