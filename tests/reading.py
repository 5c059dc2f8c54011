"""Read segmentations, structure sets and label maps with foreign tools only, to compare with what the product says."""

import gzip
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from tests.conftest import without

DICOMNODE = Path(sys.executable).parent / "dicomnode"
SEGIMAGE2ITKIMAGE = Path(sys.executable).parent / "segimage2itkimage"
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Volume:
    """Voxels (i, j, k) and the (4, 4) float64 affine from their indices to patient mm (LPS)."""

    voxels: NDArray[Any]
    affine: NDArray[np.float64]

    def indices_of(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (point, 3) float64 continuous indices of `points`, (point, 3) in mm."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(points @ inverse[:3, :3].T + inverse[:3, 3])


def read_nifti(path: Path) -> Volume:
    image: Any = nibabel.load(path)
    return Volume(voxels=np.asarray(image.dataobj), affine=_LPS_TO_RAS @ image.affine)


def voxels_of_seg(path: Path) -> dict[int, NDArray[np.float64]]:
    """Return the voxels of each segment of the SEG at `path`, (voxel, 3) float64 in patient mm, by pydicom alone.

    Those of a fractional one are the pixels that are as probable as not, or more.
    """
    ds = dcmread(path)
    found: dict[int, list[NDArray[np.float64]]] = {item.SegmentNumber: [] for item in ds.SegmentSequence}
    found.pop(0, None)  # the background of a label map
    shared = ds.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=np.float64)
    for frame, group in zip(_frames_of(ds), ds.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
        measures = (group if "PixelMeasuresSequence" in group else shared).PixelMeasuresSequence[0]
        row_gap, column_gap = (float(value) for value in measures.PixelSpacing)
        for number, inside in _inside(ds, frame, group).items():
            rows, columns = np.nonzero(inside)
            across, down = columns[:, None] * orientation[:3] * column_gap, rows[:, None] * orientation[3:] * row_gap
            found[number].append(position + across + down)
    return {number: np.concatenate(parts) if parts else np.empty((0, 3)) for number, parts in found.items()}


def pixels_of_seg(path: Path) -> dict[tuple[int, str], NDArray[np.bool_]]:
    """Return the pixels of the SEG at `path`, (row, column) bool, by segment and by the image that they are of."""
    ds, found = dcmread(path), {}
    for frame, group in zip(_frames_of(ds), ds.PerFrameFunctionalGroupsSequence, strict=True):
        image = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        found.update({(number, image): inside for number, inside in _inside(ds, frame, group).items()})
    return found


def _frames_of(ds: Dataset) -> NDArray[np.integer[Any]]:
    """Return the pixels of a SEG, (frame, row, column), as they are stored."""
    values: NDArray[np.integer[Any]] = np.frombuffer(ds.PixelData, dtype=np.uint8 if ds.BitsAllocated < 16 else "<u2")
    if ds.BitsAllocated == 1:
        values = np.unpackbits(values.astype(np.uint8), bitorder="little")
    shape = (int(ds.NumberOfFrames), int(ds.Rows), int(ds.Columns))
    return values[: int(np.prod(shape))].reshape(shape)


def _inside(ds: Dataset, frame: NDArray[np.integer[Any]], group: Dataset) -> dict[int, NDArray[np.bool_]]:
    """Return what a frame shows, segment number -> (row, column) bool."""
    if ds.SegmentationType == "LABELMAP":
        return {int(number): frame == number for number in np.unique(frame) if number}
    holder = group if "SegmentIdentificationSequence" in group else ds.SharedFunctionalGroupsSequence[0]
    number = int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    return {number: frame >= (128 if ds.SegmentationType == "FRACTIONAL" else 1)}


def voxels_by_dcmqi(path: Path, folder: Path) -> dict[int, NDArray[np.float64]]:
    """Return the voxels of each segment, (voxel, 3) float64 in patient mm, as dcmqi's segimage2itkimage reads them."""
    if not SEGIMAGE2ITKIMAGE.is_file():
        without("segimage2itkimage is not installed (dcmqi, dependency group test)")
    folder.mkdir()
    command: list[str | Path] = [SEGIMAGE2ITKIMAGE, "--inputDICOM", path, "--outputDirectory", folder]
    command += ["--outputType", "nrrd"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for file in folder.glob("*.nrrd"):
        volume = _read_nrrd(file)
        for number in set(np.unique(volume.voxels).tolist()) - {0} or {int(file.stem)}:  # one has all of a label map
            inside = np.argwhere(volume.voxels == number)
            found[number] = inside @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    return found


def _read_nrrd(path: Path) -> Volume:
    head, _, body = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    assert (fields["encoding"], fields["space"]) == ("gzip", "left-posterior-superior")
    dtype = {"short": "<i2", "unsigned char": "<u1", "unsigned short": "<u2"}[fields["type"]]
    shape = [int(size) for size in fields["sizes"].split()]
    affine = np.eye(4)
    for axis, vector in enumerate([*fields["space directions"].split(), fields["space origin"]]):
        affine[:3, axis] = [float(value) for value in vector.strip("()").split(",")]
    return Volume(voxels=np.frombuffer(gzip.decompress(body), dtype).reshape(shape, order="F"), affine=affine)


def on_grid(points: NDArray[np.float64], grid: Volume, tolerance: float = 0.1) -> NDArray[np.bool_]:
    """Return `points` as a mask (i, j, k) bool on `grid`; each must lie within `tolerance` voxels of a voxel."""
    exact = grid.indices_of(points)
    nearest = np.rint(exact).astype(int)
    off = float(np.abs(exact - nearest).max(initial=0))
    assert off < tolerance, f"a voxel lies {off:.3f} voxels beside the grid"
    mask = np.zeros(grid.voxels.shape, dtype=bool)
    mask[tuple(nearest.T)] = True
    assert np.count_nonzero(mask) == len(points), "two voxels fell on one"
    return mask


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return 2 * float(np.count_nonzero(one & other)) / float(np.count_nonzero(one) + np.count_nonzero(other))


def contours_of(ds: Dataset) -> dict[str, list[NDArray[np.float64]]]:
    """Return the contours of each ROI of the structure set `ds` by name, each (point, 3) float64 in patient mm."""
    names = {item.ROINumber: item.ROIName for item in ds.StructureSetROISequence}
    return {
        names[item.ReferencedROINumber]: [
            np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3) for contour in item.ContourSequence
        ]
        for item in ds.ROIContourSequence
    }


def ellipses(contours: list[NDArray[np.float64]], grid: Volume) -> NDArray[np.bool_]:
    """Return the mask (i, j, k) bool that fills the ellipse in the box of each plane's contours."""
    planes: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    for contour in contours:
        indices = grid.indices_of(contour)
        planes[round(float(indices[:, 2].mean()))].append(indices[:, :2])
    mask = np.zeros(grid.voxels.shape, dtype=bool)
    i, j = np.indices(grid.voxels.shape[:2])
    for plane, parts in planes.items():
        points = np.concatenate(parts)
        middle, radius = (points.max(axis=0) + points.min(axis=0)) / 2, (points.max(axis=0) - points.min(axis=0)) / 2
        mask[:, :, plane] = ((i - middle[0]) / radius[0]) ** 2 + ((j - middle[1]) / radius[1]) ** 2 <= 1
    return mask


def planes_of(mask: NDArray[np.bool_]) -> set[int]:
    """Return the indices k of the planes on which `mask`, (i, j, k) bool, has a voxel."""
    return {int(plane) for plane in np.flatnonzero(mask.any(axis=(0, 1)))}


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What `dicomnode segment --json` said and how it ended."""

    code: int
    document: Mapping[str, Any]
    stderr: str

    def made(self, kind: str) -> list[Path]:
        """Return where the objects of `kind` of the only result lie, in their order."""
        (result,) = self.document["results"]
        return [Path(one["path"]) for one in result["objects"] if one["kind"] == kind]

    def only_seg(self) -> Path:
        """Return where the only object of the only result lies."""
        (result,) = self.document["results"]
        (made,) = result["objects"]
        return Path(made["path"])


def segment(*paths: Path, output: Path, options: tuple[str, ...] = ()) -> Told:
    """Run the installed command on `paths`; its stdout must be one JSON document."""
    command: list[str | Path] = [DICOMNODE, "segment", *paths, "--json", "--output", output, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr
    return Told(code=done.returncode, document=json.loads(done.stdout), stderr=done.stderr)
