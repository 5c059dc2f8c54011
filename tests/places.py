"""Where images lie, by their headers alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from tests.builders import Contour


def headers_in(folder: Path, pattern: str = "*") -> Iterator[Dataset]:
    """Return the headers of the images in `folder`, in any order."""
    return (dcmread(path, stop_before_pixels=True) for path in folder.rglob(pattern) if path.is_file())


def decimals(ds: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the numbers of an element as the texts that stand in the file."""
    return tuple(str(value) for value in ds[keyword].value)


def height(image: Dataset) -> float:
    """Return how far along its normal `image` lies, in mm."""
    orientation = np.array(image.ImageOrientationPatient, float)
    return float(np.array(image.ImagePositionPatient, float) @ np.cross(orientation[:3], orientation[3:]))


def to_patient(points: NDArray[np.float64], image: Dataset) -> Contour:
    """Return `points`, (point, 2) float64 x, y in pixel-centre coordinates of `image`, in patient mm."""
    position, orientation = (
        np.array(image[name].value, float) for name in ("ImagePositionPatient", "ImageOrientationPatient")
    )
    row_gap, column_gap = (float(value) for value in image.PixelSpacing)
    x, y = points[:, :1], points[:, 1:]
    return [tuple(point) for point in position + x * column_gap * orientation[:3] + y * row_gap * orientation[3:]]
