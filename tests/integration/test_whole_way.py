"""From a contour in patient space to the voxels of the SEG in patient space, whatever the orientation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.builders import ct_series, rtstruct
from tests.folders import outcome_of
from tests.reading import voxels_of_seg

ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "axial, head last": (-1, 0, 0, 0, 1, 0),
    "axial, prone": (-1, 0, 0, 0, -1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "rows down": (0, 0, -1, 0, 1, 0),
    "oblique": (0.866025, 0, -0.5, 0, 1, 0),
    "doubly oblique": (0.8, 0.48, 0.36, -0.6, 0.64, 0.48),
}
SPACING, STEP, ORIGIN = (0.8, 1.7), 2.5, (-31.7, 12.9, 401.3)


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_a_box_comes_back_as_the_voxels_it_was_drawn_round(tmp_path: Path, orientation: Sequence[float]) -> None:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)

    def place(x: float, y: float, plane: int) -> tuple[float, float, float]:
        at = np.array(ORIGIN) + x * SPACING[1] * row + y * SPACING[0] * column + plane * STEP * normal
        return float(at[0]), float(at[1]), float(at[2])

    images = ct_series(planes=7, orientation=orientation, spacing=SPACING, step=STEP, origin=ORIGIN)
    corners = [(10.5, 3.5), (17.5, 3.5), (17.5, 8.5), (10.5, 8.5)]
    contours = [[place(x, y, plane) for x, y in corners] for plane in (1, 2, 5)]
    outcome = outcome_of(images, rtstruct(images, {"A": contours}, references=False), tmp_path / "in")
    assert outcome.exclusions == ()
    path = tmp_path / "seg"
    path.write_bytes(outcome.objects[0].content)
    (found,) = voxels_of_seg(path).values()
    wanted = [place(x, y, plane) for plane in (1, 2, 5) for y in range(4, 9) for x in range(11, 18)]
    distances = np.linalg.norm(found[:, None] - np.array(wanted)[None], axis=2)
    assert len(found) == len(wanted)
    assert distances.min(axis=1).max() < 1e-4
    assert distances.min(axis=0).max() < 1e-4
