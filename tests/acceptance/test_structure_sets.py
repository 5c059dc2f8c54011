"""Structure sets of real scans, as plastimatch rasterises them and as our own command reads them again."""

import subprocess
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from dicomnode.dicom.results.findings import findings_of
from dicomnode.dicom.results.structure_set import write_structure_set
from dicomnode.domain import Mask
from tests.builders import AXIAL, ct_series, rtstruct, save, square
from tests.conftest import require_program
from tests.fakes import FillsTheBox
from tests.folders import job_in, planes_of
from tests.inspecting import inspect
from tests.reading import Told, dice, on_grid, read_nifti, voxels_of_seg
from tests.validation import split_errors
from tests.values import mask

pytestmark = pytest.mark.peer

REAL = (
    "ibsi_sts/dicom/STS_019/CT",
    "ibsi_sts/dicom/STS_019/MR_T1",
    "ibsi_sts/dicom/STS_019/PET",
    "sts_raw_STS_001/STS_001/MR_T2",  # oblique
)
LEAST_DICE = 0.98


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A SEG and a structure set of the same masks, the images that they are of, and a folder to work in."""

    seg: Path
    structure_set: Path
    images: Path
    folder: Path


@pytest.fixture(scope="module", params=REAL)
def made(
    request: pytest.FixtureRequest,
    data_dir: Path,
    everything_of: Callable[[str], Told],
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    told, folder = everything_of(request.param), tmp_path_factory.mktemp("structure-sets")
    ((seg,), (structure_set,)) = (told.made(kind) for kind in ("SEG", "RTSTRUCT"))
    return Made(seg=seg, structure_set=structure_set, images=data_dir / request.param / "image", folder=folder)


def rasterised(structure_set: Path, images: Path, folder: Path) -> Mapping[str, Path]:
    """Return the masks that plastimatch makes of `structure_set` on the grid of `images`, by the names of regions."""
    command: list[str | Path] = [require_program("plastimatch"), "convert", "--input", structure_set]
    command += ["--referenced-ct", images, "--output-prefix", folder / "masks", "--prefix-format", "nii.gz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name.removesuffix(".nii.gz"): path for path in (folder / "masks").iterdir()}


@pytest.mark.data
def test_plastimatch_rasterises_the_masks(made: Made) -> None:
    found = rasterised(made.structure_set, made.images, made.folder)
    labels = {item.SegmentNumber: item.SegmentLabel for item in dcmread(made.seg).SegmentSequence}
    assert set(found) == set(labels.values())
    for number, voxels in voxels_of_seg(made.seg).items():
        volume = read_nifti(found[labels[number]])
        assert dice(on_grid(voxels, volume), volume.voxels > 0) >= LEAST_DICE


@pytest.mark.data
def test_dciodvfy_finds_nothing_wrong_but_what_is_wrong_in_the_source(made: Made) -> None:
    source = dcmread(min(made.images.iterdir()), stop_before_pixels=True)
    copied, own = split_errors(made.structure_set, source)
    assert own == []
    assert copied <= {"StudyID"}


@pytest.mark.data
def test_our_own_command_reads_the_boxes_of_the_masks(made: Made) -> None:
    code, document = inspect(made.images, made.structure_set, options=("--own-results",))
    assert code == 0
    read = {
        prompt["label"]: {(one["sop_instance_uid"], one["frame"]): one["box"] for one in prompt["boxes"]}
        for prompt in document["prompts"]
    }
    assert read.keys() == {item.SegmentLabel for item in dcmread(made.seg).SegmentSequence}
    for label, boxes in boxes_of(dcmread(made.seg)).items():
        assert read[label].keys() == boxes.keys()
        for key, box in boxes.items():
            assert read[label][key] == pytest.approx(box, abs=1e-4)


def boxes_of(seg: Dataset) -> dict[str, dict[tuple[str, int | None], list[float]]]:
    """Return the box round each frame of `seg`, at least 3 pixels a side, by segment and by image and frame."""
    labels = {item.SegmentNumber: item.SegmentLabel for item in seg.SegmentSequence}
    bits = np.unpackbits(np.frombuffer(seg.PixelData, dtype=np.uint8), bitorder="little")
    frames = bits[: seg.NumberOfFrames * seg.Rows * seg.Columns].reshape(-1, seg.Rows, seg.Columns)
    found: dict[str, dict[tuple[str, int | None], list[float]]] = defaultdict(dict)
    shared = seg.SharedFunctionalGroupsSequence[0]
    for inside, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        holder = group if "SegmentIdentificationSequence" in group else shared
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        sides = [(values.min() - 0.5, values.max() + 0.5) for values in np.nonzero(inside)]
        (y0, y1), (x0, x1) = [(low - lack, high + lack) for low, high in sides for lack in [max(0, 3 - high + low) / 2]]
        label = labels[holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
        key = image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber")
        found[label][key] = [float(side) for side in (x0, y0, x1, y1)]
    return found


def odd_mask() -> Mask:
    """Return holes behind holes, an island in a hole, pixels that touch with a corner, and single ones."""
    inside = np.zeros((32, 40), dtype=bool)
    inside[4:20, 5:35] = True
    inside[8:14, 8:14] = inside[9:11, 18] = inside[9:12, 25:28] = inside[15, 20] = inside[16, 21] = False
    inside[10, 10] = inside[25, 3] = inside[26, 4] = inside[31, 39] = inside[0, 0] = True
    return mask({1: inside, 2: inside, 4: np.flip(inside)}, "odd")


def on_a_stack(images: Sequence[Dataset], folder: Path) -> NDArray[np.bool_]:
    """Return what plastimatch makes of the odd mask on `images`, (column, row, plane) bool."""
    save([*images, rtstruct(images, {"A": [square(5, 5, 9, 9, 0.0)]}, references=False)], folder / "in")
    job = job_in(folder / "in")
    findings = findings_of([odd_mask()], planes_of(job.images), job.annotation, FillsTheBox().identity, "1")
    (written,) = write_structure_set(findings)
    (folder / "rtstruct.dcm").write_bytes(written.content)
    save(images, folder / "images")
    found = rasterised(folder / "rtstruct.dcm", folder / "images", folder)
    return np.asarray(read_nifti(found["odd"]).voxels > 0)


def truth(planes: int) -> NDArray[np.bool_]:
    inside = np.zeros((40, 32, planes), dtype=bool)
    for index, plane in odd_mask().planes.items():
        inside[:, :, index] = plane.T
    return inside


@pytest.mark.parametrize("orientation", [AXIAL, (0.8, 0.6, 0, -0.48, 0.64, 0.6)])
def test_plastimatch_rasterises_holes_and_single_pixels(tmp_path: Path, orientation: Sequence[float]) -> None:
    images = ct_series(spacing=(0.7, 1.3), orientation=orientation, origin=(-123.4567, 80.1, 5.25))
    assert dice(on_a_stack(images, tmp_path), truth(5)) >= LEAST_DICE
