"""Every regular stack of the real data lies where dcm2niix says and holds what it reads; so do its enhanced forms."""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom.legacy import (
    LegacyConvertedEnhancedCTImage,
    LegacyConvertedEnhancedMRImage,
    LegacyConvertedEnhancedPETImage,
)
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import UID, JPEGLSLossless

from dicomnode.dicom.scan import scan
from dicomnode.domain import Fact, Stack
from dicomnode.errors import Reason, Refused
from dicomnode.planning import plan
from tests.builders import STUDY
from tests.conftest import require_program
from tests.folders import planes_of, stack_in
from tests.reading import Volume, read_nifti
from tests.volumes import difference, volume_of

pytestmark = [pytest.mark.data]

STACKS = 58
TOLERANCE_MM = 1e-3
# first image of a stack -> why dcm2niix places it elsewhere than the headers do
PLACED_OTHERWISE = {
    "papaya_mr_irregular/data/dicom/brain_001.dcm": "it takes the first gap, 7.071 mm, for all: they are 7.0005 mm wide"
    " in the mean, and 6.959 to 7.071 mm",
}
# neither scaled, cropped, rotated nor left out for being derived; the rescaling of the header, not Philips' private one
AS_IT_IS = ("-g", "i", "-b", "n", "-z", "n", "-m", "y", "-x", "i", "-i", "n", "-l", "o", "-p", "n", "-f", "stack")


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How far our affine lies from dcm2niix's, by element, and from the planes in the files; and how values differ.

    Distances are in mm; `theirs_from_planes` is how far dcm2niix's affine lies from the planes.
    """

    from_theirs: float
    from_planes: float
    theirs_from_planes: float
    differing_voxels: int


Comparisons = Mapping[str, Comparison]


@pytest.fixture(scope="module")
def comparisons(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparisons:
    return {
        str(stack.planes[0].source.relative_to(data_dir)): compare(stack, tmp_path_factory.mktemp("stack"))
        for folder in sorted(data_dir.iterdir())
        if folder.is_dir()
        for stack in regular_stacks(folder)
    }


def regular_stacks(folder: Path) -> Iterator[Stack]:
    """Yield the regular stacks in `folder`; what is there again in other bytes, as in another codec, is one as well."""
    files = [folder]
    while files:
        instances, _ = scan(files)
        found = plan(instances)
        for images in found.stacks:
            try:
                stack = planes_of(images)
            except Refused:
                continue
            if Fact.REGULAR in stack.facts:
                yield stack
        files = [Path(one.what) for one in found.exclusions if one.reason is Reason.UID_CONFLICT]


def compare(stack: Stack, folder: Path) -> Comparison:
    """Compare `stack` with what dcm2niix makes of its files."""
    ours, theirs = volume_of(stack), converted(stack, folder)
    found = difference(ours, theirs)
    return Comparison(
        from_theirs=found.affine,
        from_planes=beside_the_planes(ours.affine, stack),
        theirs_from_planes=beside_the_planes(theirs.affine @ found.ways, stack),
        differing_voxels=found.voxels,
    )


def converted(stack: Stack, folder: Path) -> Volume:
    """Return what dcm2niix makes of the files of `stack`; JPEG-LS, which it does not know, DCMTK decodes first."""
    files, made = folder / "in", folder / "out"
    for place in (files, made):
        place.mkdir()
    for number, path in enumerate(dict.fromkeys(plane.source for plane in stack.planes)):
        link = files / f"{number:04}.dcm"
        if dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID == JPEGLSLossless:
            subprocess.run([require_program("dcmdjpls"), path, link], check=True, timeout=60)
        else:
            link.symlink_to(path)
    command: list[str | Path] = [require_program("dcm2niix"), *AS_IT_IS, "-o", made, files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = list(made.glob("*.nii"))
    assert len(found) == 1, f"{stack.planes[0].source}: {done.stdout} {done.stderr}"
    return read_nifti(found[0])


def beside_the_planes(affine: NDArray[np.float64], stack: Stack) -> float:
    """Return how far in mm the first voxel of a plane by `affine` lies at most from the position in its file."""
    sources = {plane.source for plane in stack.planes}
    headers: dict[Path, Dataset] = {path: dcmread(path, stop_before_pixels=True) for path in sources}
    far = 0.0
    for index, plane in enumerate(stack.planes):
        ds = headers[plane.source]
        if plane.key.frame:
            ds = ds.PerFrameFunctionalGroupsSequence[plane.key.frame - 1].PlanePositionSequence[0]
        there = affine @ np.array([0, 0, index, 1])
        far = max(far, float(np.abs(there[:3] - np.array(ds.ImagePositionPatient, float)).max()))
    return far


@pytest.mark.peer
def test_no_regular_stack_is_left_out(comparisons: Comparisons) -> None:
    assert len(comparisons) >= STACKS
    assert set(PLACED_OTHERWISE) <= set(comparisons)


@pytest.mark.peer
def test_every_regular_stack_lies_where_dcm2niix_places_it(comparisons: Comparisons) -> None:
    elsewhere = {name for name, one in comparisons.items() if one.from_theirs > TOLERANCE_MM}
    assert elsewhere == set(PLACED_OTHERWISE)


@pytest.mark.peer
def test_every_voxel_has_the_value_that_dcm2niix_reads(comparisons: Comparisons) -> None:
    """Both rescale in float32, slice by slice in PET, so not one bit may differ."""
    assert {name: one.differing_voxels for name, one in comparisons.items() if one.differing_voxels} == {}


@pytest.mark.peer
def test_the_affine_meets_the_position_of_every_plane_in_its_file(comparisons: Comparisons) -> None:
    for name, one in comparisons.items():
        if name in PLACED_OTHERWISE:  # gaps that differ within the tolerance: no one matrix meets every plane
            assert one.from_planes < min(0.1, one.theirs_from_planes / 10)
        else:
            assert one.from_planes < TOLERANCE_MM, name


ODD = "dicom2nifti_oddgeom"
CODECS = ("compressed", "compressed_j2k", "compressed_jpeg", "compressed_jpegls", "compressed_rle")


@pytest.mark.parametrize(
    ("series", "reference"),
    [
        *((f"{ODD}/generic/{codec}/001", f"{ODD}/generic/{codec}/001_ground_truth.nii.gz") for codec in CODECS),
        (f"{ODD}/siemens_multiframe", f"{ODD}/siemens_multiframe/anatomical/001_ground_truth.nii.gz"),
        ("dcm_qa_xa30_enhanced/In", "dcm_qa_xa30_enhanced/Ref/6_anat-T1w_acq-tfl.nii"),
    ],
)
def test_a_series_is_the_volume_that_its_collection_gives_as_the_truth(
    data_dir: Path, series: str, reference: str
) -> None:
    found = difference(volume_of(stack_in(data_dir / series)), read_nifti(data_dir / reference))
    assert found.affine < TOLERANCE_MM
    assert found.voxels == 0


def assert_same(one: Stack, other: Stack) -> None:
    assert [plane.position for plane in one.planes] == [plane.position for plane in other.planes]
    assert one.facts == other.facts
    assert np.array_equal(volume_of(one).affine, volume_of(other).affine)
    for ours, theirs in zip(one.planes, other.planes, strict=True):
        assert (ours.orientation, ours.spacing) == (theirs.orientation, theirs.spacing)
        assert ours.thickness == theirs.thickness
        assert np.array_equal(ours.values(), theirs.values())


@pytest.mark.parametrize("phantom", ["23x38x3", "24x38x3"])
def test_a_converted_image_is_the_stack_of_its_single_images(data_dir: Path, phantom: str) -> None:
    folder = data_dir / "dcmqi" / "data" / "segmentations" / phantom
    assert_same(stack_in(folder / "image"), stack_in(folder / "multiframe"))


def test_images_that_an_archive_wrote_anew_are_the_same_stacks(data_dir: Path) -> None:
    scanners, archives = (list(regular_stacks(data_dir / "dcm_qa_agfa" / maker)) for maker in ("Siemens", "Agfa"))
    assert len(scanners) == 4
    for one, other in zip(scanners, archives, strict=True):
        assert_same(one, other)


@pytest.mark.filterwarnings("ignore:The string:UserWarning")  # highdicom on names of one component
@pytest.mark.parametrize(
    ("series", "kind"),
    [
        ("crlm_ct_1004/CRLM-CT-1004/image", LegacyConvertedEnhancedCTImage),
        ("dcm_qa_decubitus/In/HFS", LegacyConvertedEnhancedMRImage),
        ("sts_raw_STS_001/STS_001/MR_T2/image", LegacyConvertedEnhancedMRImage),
        ("ibsi_sts/dicom/STS_019/PET/image", LegacyConvertedEnhancedPETImage),
    ],
)
def test_an_enhanced_form_made_by_highdicom_is_the_same_stack(
    data_dir: Path, tmp_path: Path, series: str, kind: type[Any]
) -> None:
    folder = data_dir / series
    images = [dcmread(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    converted_form = kind(
        images,
        series_instance_uid=UID(f"{STUDY}.7"),
        series_number=1,
        sop_instance_uid=UID(f"{STUDY}.7.1"),
        instance_number=1,
    )
    converted_form.save_as(tmp_path / "enhanced.dcm")
    stack = stack_in(tmp_path)
    assert {plane.key.frame for plane in stack.planes} == set(range(1, len(images) + 1))
    assert_same(stack_in(folder), stack)
