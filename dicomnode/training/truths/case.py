"""A case: the planes of an image, and what is known to be on them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain import Stack
from dicomnode.inference.windows import Window

Masks = Mapping[int, NDArray[np.bool_]]  # index of the plane -> (row, column) bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """One image with its truth.

    `group` is what cases have in common that must not be on both sides of a split, such as the patient; `window` is
    what of the values of `stack` a network sees; `masks` are by the name of their structure, and may overlap.
    """

    name: str
    group: str
    stack: Stack
    window: Window
    masks: Mapping[str, Masks]
