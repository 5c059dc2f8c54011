"""Masks lie on the voxels that were drawn round, and in reference mode on those of the reference, through the square.

The engine is one whose answer is known; the reference is written down plainly, with OpenCV's resizing.
"""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.domain import Box, JobOptions, Strategy
from dicomnode.inference.engines import Device, EngineIdentity, EngineName, Precision
from dicomnode.inference.lite_medsam import LiteMedSamRuntime
from dicomnode.pipeline import Tools, run
from tests.builders import ct_series, rtstruct, save
from tests.folders import job_in
from tests.reading import voxels_of_seg
from tests.values import masks_of, solid, stack_of

SIDE = 256
INSIDE, OUTSIDE = np.float32(5), np.float32(-4)  # that no interpolated logit is 0 by chance
Grey = NDArray[np.float32]
Pixels = tuple[int, int, int, int]  # first and last column and row: x0, y0, x1, y1


def bright_in(square: Grey, box: Sequence[float]) -> Grey:
    """Return the logits of what is bright in `box` on `square`, (3, 256, 256): (256, 256) float32."""
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = (x >= box[0] - 0.5) & (x <= box[2] + 0.5) & (y >= box[1] - 0.5) & (y <= box[3] + 0.5)
    return np.where(inside & (square[0] > 0.45), INSIDE, OUTSIDE)


def filled(square: Grey, box: Sequence[float]) -> Grey:
    """Return the logits of all that is in `box`."""
    return bright_in(np.ones_like(square), box)


class Known:
    """An engine that answers by a rule, and remembers the boxes that it was asked for, in the square."""

    batch = 1
    identity = EngineIdentity(
        engine=EngineName.ONNX, version="0", device=Device.CPU, precision=Precision.FP32, reason="a test"
    )

    def __init__(self, rule: Callable[[Grey, Sequence[float]], Grey] = filled) -> None:
        self.rule = rule
        self.asked: list[list[float]] = []

    def encode(self, images: Grey) -> list[Grey]:
        """Return the images themselves."""
        return list(images)

    def decode(self, features: Grey, boxes: Grey) -> tuple[Grey, Grey]:
        """Return what the rule finds, each of the same quality."""
        self.asked.extend(boxes.tolist())
        return np.stack([self.rule(features, box) for box in boxes]), np.full(len(boxes), 0.9, np.float32)

    def size_of(self, features: Grey) -> int:
        """Return the bytes of the image."""
        return features.nbytes


def box_of(pixels: Pixels) -> Box:
    x0, y0, x1, y1 = pixels
    return Box(x0=x0 - 0.5, y0=y0 - 0.5, x1=x1 + 0.5, y1=y1 + 0.5)


STEPS = {
    "regular": (0, 2.5, 5, 7.5, 10, 12.5, 15),
    "planes missing": (0, 2.5, 5, 10, 12.5, 15, 17.5),
    "irregular": (0, 2.5, 5, 6.1, 9, 13, 19.5),
    "sheared": (0, 2.5, 5, 7.5, 10, 12.5, 15),
}
OBLIQUE = (0.8, 0.48, 0.36, -0.6, 0.64, 0.48)
ROW, COLUMN = np.array(OBLIQUE[:3]), np.array(OBLIQUE[3:])
SPACING = (0.8, 1.7)
DRAWN_ON = range(1, 6)


def odd_series(kind: str, shape: tuple[int, int]) -> list[Dataset]:
    """Return an oblique series of pixels that are not square, with falling Instance Numbers."""
    along = np.cross(ROW, COLUMN) + (0.6 * COLUMN if kind == "sheared" else 0)
    images = ct_series(planes=len(STEPS[kind]), shape=shape, orientation=OBLIQUE, spacing=SPACING, step=2.5)
    for number, (ds, height) in enumerate(zip(images, STEPS[kind], strict=True)):
        ds.ImagePositionPatient = [round(float(value), 6) for value in np.array((-31.7, 12.9, 401.3)) + along * height]
        ds.InstanceNumber = len(images) - number
    return images


def place(ds: Dataset, x: float, y: float) -> tuple[float, float, float]:
    """Return where a pixel of an image lies in the patient (PS3.3 C.7.6.2.1.1)."""
    at = np.array(ds.ImagePositionPatient, float) + x * SPACING[1] * ROW + y * SPACING[0] * COLUMN
    return float(at[0]), float(at[1]), float(at[2])


def extents(voxels: NDArray[np.float64], images: Sequence[Dataset]) -> dict[int, list[int]]:
    """Return first and last column and row of `voxels`, (voxel, 3) in mm, by the number of their image."""
    found = {}
    for number, ds in enumerate(images):
        away = voxels - np.array(ds.ImagePositionPatient, float)
        here = away[np.abs(away @ np.cross(ROW, COLUMN)) < 1e-3]
        if len(here):
            pixels = np.column_stack([here @ ROW / SPACING[1], here @ COLUMN / SPACING[0]])
            assert np.abs(pixels - np.rint(pixels)).max() < 1e-3
            found[number] = [int(side) for side in np.rint([*pixels.min(axis=0), *pixels.max(axis=0)])]
    return found


@pytest.mark.parametrize(
    ("shape", "drawn"),
    [((150, 260), (30, 20, 120, 90)), ((400, 120), (3, 250, 60, 399)), ((600, 90), (40, 300, 42, 302))],
    ids=["wide", "high, at its edge", "smaller than two pixels of the square"],
)
@pytest.mark.parametrize("kind", STEPS)
def test_a_mask_lies_where_its_box_was_drawn(kind: str, shape: tuple[int, int], drawn: Pixels, tmp_path: Path) -> None:
    images = odd_series(kind, shape)
    edges = box_of(drawn)
    corners = [(edges.x0, edges.y0), (edges.x1, edges.y0), (edges.x1, edges.y1), (edges.x0, edges.y1)]
    contours = [[place(images[number], *corner) for corner in corners] for number in DRAWN_ON]
    save([*reversed(images), rtstruct(images, {"A": contours}, references=False)], tmp_path / "in")
    with Decoders() as decoders:
        outcome = run(job_in(tmp_path / "in"), Tools(runtime=LiteMedSamRuntime("a", "b", Known()), decoders=decoders))
    assert outcome.exclusions == ()
    (tmp_path / "seg").write_bytes(outcome.objects[0].content)
    found = extents(voxels_of_seg(tmp_path / "seg")[1], images)
    assert set(found) == set(DRAWN_ON)
    pixel_of_the_square = max(shape) / SIDE
    for sides in found.values():
        assert np.abs(np.subtract(sides, drawn)).max() <= max(1, pixel_of_the_square)
    (item,) = dcmread(BytesIO(outcome.objects[0].content)).SegmentSequence
    said = item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
    assert "strategy=per-plane,window=40/400" in said


@pytest.mark.parametrize("strategy", [Strategy.STATIC, Strategy.TRIPLANAR_VOTE])
def test_a_3_d_box_is_filled_whatever_the_shape_of_its_stack(strategy: Strategy) -> None:
    stack, drawn = stack_of(*np.ones((60, 40, 70), np.int16)), (12, 5, 40, 30)
    runtime = LiteMedSamRuntime("a", "b", Known())
    (mask,) = masks_of(stack, [solid(stack, 9, 50, box_of(drawn))], runtime, JobOptions(strategy=strategy))
    there = np.argwhere(np.stack([mask.planes.get(plane, np.zeros((40, 70), bool)) for plane in range(60)]))
    assert there.min(axis=0).tolist() == [9, 5, 12]
    assert there.max(axis=0).tolist() == [50, 30, 40]
    assert len(there) == 42 * 26 * 29


PLANES = 8


def grown(shape: tuple[int, int]) -> NDArray[np.int16]:
    """Return a bright disc that moves and grows over planes of noise; on one it is a line, on one nothing."""
    rows, columns = shape
    volume = np.random.default_rng(3).integers(1, 200, (PLANES, *shape)).astype(np.int16)
    y, x = np.ogrid[:rows, :columns]
    for plane in (0, 1, 3, 4, 5, 7):
        middle_y, middle_x = int(rows * (0.3 + 0.03 * plane)), int(columns * (0.4 + 0.02 * plane))
        radius = int(min(shape) * (0.05 + 0.01 * plane))
        volume[plane][(y - middle_y) ** 2 + (x - middle_x) ** 2 < radius**2] += 600
    volume[2, rows // 3, columns // 3 : columns // 2] = 900
    return volume


class AsReference:
    """The reference algorithm on one object of an MR, step by step."""

    def __init__(self, volume: NDArray[np.int16]) -> None:
        low, high = np.percentile(volume[volume > 0], (0.5, 99.5))
        clipped = np.clip(volume, low, high)
        levels = (clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255.0
        levels[volume == 0] = 0
        self._levels = levels.astype(np.uint8)
        self._shape = volume.shape[1:]
        self._scale = SIDE / max(self._shape)
        self._size = int(self._shape[1] * self._scale + 0.5), int(self._shape[0] * self._scale + 0.5)
        self.asked: list[list[float]] = []

    def masks(self, drawn: Pixels) -> dict[int, NDArray[np.bool_]]:
        """Return the masks of the box on all planes, from the middle one outwards."""
        own = [int(side * self._scale) for side in drawn]
        middle = (PLANES - 1) // 2
        found = {middle: self._found(middle, own)}
        for plane in range(middle + 1, PLANES):
            found[plane] = self._found(plane, self._beside(found[plane - 1]) or own)
        for plane in range(middle - 1, -1, -1):
            found[plane] = self._found(plane, self._beside(found[plane + 1]) or own)
        return found

    def _found(self, plane: int, box: Sequence[int]) -> NDArray[np.bool_]:
        self.asked.append([float(side) for side in box])
        width, height = self._size
        small = cv2.resize(np.stack([self._levels[plane]] * 3, axis=-1), self._size, interpolation=cv2.INTER_AREA)
        stretched = (small - small.min()) / (small.max() - small.min())
        padded = np.pad(stretched, ((0, SIDE - height), (0, SIDE - width), (0, 0))).astype(np.float32)
        logits = bright_in(padded.transpose(2, 0, 1), box)[:height, :width]
        return np.asarray(cv2.resize(logits, self._shape[::-1], interpolation=cv2.INTER_LINEAR) > 0)

    def _beside(self, mask: NDArray[np.bool_]) -> list[int] | None:
        small = cv2.resize(mask.astype(np.uint8), self._size, interpolation=cv2.INTER_AREA)
        rows, columns = np.nonzero(small)
        if not len(rows):
            return None
        first = [max(0, int(axis.min()) - 3) for axis in (columns, rows)]
        return [*first, *(min(SIDE, int(axis.max()) + 3) for axis in (columns, rows))]


@pytest.mark.parametrize("shape", [(512, 512), (300, 512), (700, 523), (128, 97)], ids=str)
def test_in_reference_mode_boxes_and_masks_are_the_references_on_every_plane(shape: tuple[int, int]) -> None:
    rows, columns = shape
    volume, engine = grown(shape), Known(bright_in)
    drawn = (int(columns * 0.25), int(rows * 0.2), int(columns * 0.7), int(rows * 0.7))
    stack = stack_of(*volume, modality="MR")
    runtime = LiteMedSamRuntime("a", "b", engine, reference=True)
    (mask,) = masks_of(stack, [solid(stack, 0, PLANES - 1, box_of(drawn))], runtime, JobOptions(reference=True))
    reference = AsReference(volume)
    wanted = reference.masks(drawn)
    assert engine.asked == reference.asked
    assert mask.planes.keys() == wanted.keys()
    assert all((mask.planes[plane] == inside).all() for plane, inside in wanted.items())
    assert all(inside.any() for plane, inside in wanted.items() if plane not in (2, 6))
