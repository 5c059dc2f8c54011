"""Real series of every odd kind: each becomes the right stacks, or says why it does not."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.pixels.pixel_file import open_pixels
from dicomnode.domain import Fact
from dicomnode.inspecting import inspect_paths
from tests.builders import rtstruct, save
from tests.folders import stack_in
from tests.inspecting import inspect, reasons_in
from tests.places import decimals, headers_in, height, to_patient
from tests.reading import segment

pytestmark = [pytest.mark.data]

REGULAR, SHEARED, SINGLE = ("REGULAR",), ("SHEARED",), ("SINGLE_PLANE",)
MISSING, UNEVEN_AND_SHEARED = ("IRREGULAR", "MISSING_SLICES"), ("IRREGULAR", "SHEARED")
ODD = "dicom2nifti_oddgeom/failing"
# folder -> what it must become: (planes, rows, columns), facts and the elements that split it; and what is left out
REAL: Mapping[str, tuple[Sequence[tuple[Sequence[int], tuple[str, ...], tuple[str, ...]]], Mapping[str, int]]] = {
    "dcm_qa_ct_variable_and_plain": (
        [((28, 512, 512), UNEVEN_AND_SHEARED, ()), ((28, 512, 512), REGULAR, ())],
        {"NOT_DICOM": 1, "NOT_AN_IMAGE": 1},
    ),
    "breast_mr_br06_4d_seg/UCSF-BR-06/image_dce_3dfgre_orig": ([((60, 256, 256), REGULAR, ("ContentTime",))] * 3, {}),
    "papaya_mr_irregular": ([((20, 256, 256), REGULAR, ())], {}),
    "dcm_qa_ts/In": ([], {"UNSUPPORTED_MOSAIC": 9}),
    "dcm_qa_agfa/Agfa": ([((25, 64, 64), REGULAR, ("AcquisitionNumber",))] * 4, {}),
    "dcm_qa_decubitus/In": ([((35, 256, 256), REGULAR, ())] * 2, {}),
    "dcm_qa_xa30_enhanced/In": ([((96, 128, 128), REGULAR, ())], {}),
    f"{ODD}/sliceincrement/001": ([((4, 512, 512), MISSING, ())], {}),
    f"{ODD}/sliceincrement/002": ([((4, 512, 512), (*MISSING, "SHEARED"), ())], {}),
    f"{ODD}/sliceorientation": (
        [((2, 288, 288), REGULAR, ("PixelSpacing", "ImageOrientationPatient"))] * 2,
        {},
    ),
    f"{ODD}/gantrytilting": ([((4, 512, 512), SHEARED, ())], {}),
    f"{ODD}/notavolume": ([((1, 512, 512), SINGLE, ("AcquisitionNumber",))] * 4, {}),
    f"{ODD}/slicecount": ([((2, 256, 256), REGULAR, ())], {}),
}


@pytest.mark.parametrize("folder", REAL)
def test_a_real_series_makes_the_stacks_it_should(data_dir: Path, folder: str) -> None:
    _, document = inspect(data_dir / folder)
    stacks, left_out = REAL[folder]
    found = [(tuple(one["shape"]), tuple(one["facts"]), tuple(one["split"])) for one in document["stacks"]]
    assert found == stacks
    assert reasons_in(document) == left_out


def test_time_points_in_one_series_are_a_stack_each(data_dir: Path) -> None:
    folder = data_dir / "breast_mr_br06_4d_seg" / "UCSF-BR-06" / "image_dce_3dfgre_orig"
    headers = {ds.SOPInstanceUID: ds for ds in headers_in(folder)}
    _, document = inspect(folder)
    stacks = [[headers[plane["sop_instance_uid"]] for plane in stack["planes"]] for stack in document["stacks"]]
    times = [{ds.ContentTime for ds in images} for images in stacks]
    assert [len(one) for one in times] == [1, 1, 1]
    assert len(set().union(*times)) == 3
    places = [{tuple(ds.ImagePositionPatient) for ds in images} for images in stacks]
    assert len(places[0]) == 60
    assert places[0] == places[1] == places[2]


def test_gaps_as_uneven_as_a_scanner_rounds_them_are_regular(data_dir: Path) -> None:
    stack = stack_in(data_dir / "papaya_mr_irregular")
    assert stack.facts == {Fact.REGULAR}
    assert (stack.gaps().min(), stack.gaps().max()) == pytest.approx((6.959, 7.071), abs=1e-3)


def test_each_slice_of_a_pet_has_the_values_of_its_own_slope(data_dir: Path) -> None:
    stack = stack_in(data_dir / "ibsi_sts" / "dicom" / "STS_008" / "PET" / "image")
    headers = [dcmread(plane.source) for plane in stack.planes]
    assert len({ds.RescaleSlope for ds in headers}) > 10
    for plane, ds in zip(stack.planes, headers, strict=True):
        expected = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        assert np.allclose(plane.values(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["gantrytilting/001", "sliceincrement/001", "sliceincrement/002"])
def test_a_seg_of_tilted_or_missing_slices_lies_where_the_images_lie(data_dir: Path, tmp_path: Path, name: str) -> None:
    folder = data_dir / ODD / name
    images = sorted(headers_in(folder), key=height)
    corners = np.array([(200.0, 200.0), (260.0, 200.0), (260.0, 250.0), (200.0, 250.0)])
    drawn = rtstruct(images, {"A": [to_patient(corners, ds) for ds in images]})
    told = segment(folder, *save([drawn], tmp_path / "drawn"), output=tmp_path / "out")
    assert (told.code, told.document["refused"]) == (0, [])
    seg = dcmread(told.only_seg())
    shared, frames = seg.SharedFunctionalGroupsSequence[0], seg.PerFrameFunctionalGroupsSequence
    lies = [decimals(frame.PlanePositionSequence[0], "ImagePositionPatient") for frame in frames]
    assert sorted(lies) == sorted(decimals(ds, "ImagePositionPatient") for ds in images)
    directions = decimals(shared.PlaneOrientationSequence[0], "ImageOrientationPatient")
    assert directions == decimals(images[0], "ImageOrientationPatient")
    measures = [(shared if "PixelMeasuresSequence" in shared else frame).PixelMeasuresSequence[0] for frame in frames]
    assert not any("SpacingBetweenSlices" in one for one in measures)


SYNTAXES = {
    "1.2.840.10008.1.2": "MR_small_implicit.dcm",
    "1.2.840.10008.1.2.1": "MR_small.dcm",
    "1.2.840.10008.1.2.1.99": "image_dfl.dcm",
    "1.2.840.10008.1.2.2": "MR_small_bigendian.dcm",
    "1.2.840.10008.1.2.4.50": "SC_rgb_dcmtk_+eb+cr.dcm",
    "1.2.840.10008.1.2.4.70": "JPEG-LL.dcm",
    "1.2.840.10008.1.2.4.80": "MR_small_jpeg_ls_lossless.dcm",
    "1.2.840.10008.1.2.4.81": "JPEGLSNearLossless_16.dcm",
    "1.2.840.10008.1.2.4.90": "MR_small_jp2klossless.dcm",
    "1.2.840.10008.1.2.4.91": "JPEG2000.dcm",
    "1.2.840.10008.1.2.4.201": "HTJ2KLossless_08_RGB.dcm",
    "1.2.840.10008.1.2.4.203": "HTJ2K_08_RGB.dcm",
    "1.2.840.10008.1.2.5": "MR_small_RLE.dcm",
}


def named(data_dir: Path, name: str) -> Path:
    """Return where the file `name` lies among those of pydicom."""
    folders = (data_dir / "pydicom_testfiles", data_dir / "pydicom_data_codecs")
    (path,) = (path for folder in folders for path in folder.rglob(name))
    return path


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_transfer_syntax_in_use_is_read(data_dir: Path, syntax: str) -> None:
    path = named(data_dir, SYNTAXES[syntax])
    ds = dcmread(path, stop_before_pixels=True)
    assert ds.file_meta.TransferSyntaxUID == syntax
    found = inspect_paths([path])
    assert [one.shape for one in found.stacks] == [(1, ds.Rows, ds.Columns)]
    assert found.exclusions == ()


# syntax -> a file in another one, whose streams this one allows as well (PS3.5 A.4.1 and A.4.4)
RELABELLED = {
    "1.2.840.10008.1.2.4.57": "JPEG-LL.dcm",
    "1.2.840.10008.1.2.4.202": "HTJ2KLossless_08_RGB.dcm",
}


@pytest.mark.parametrize("syntax", RELABELLED)
def test_a_syntax_of_which_no_file_is_at_hand_is_read_from_the_streams_of_another(
    data_dir: Path, tmp_path: Path, syntax: str
) -> None:
    original = named(data_dir, RELABELLED[syntax])
    ds = dcmread(original)
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    path = tmp_path / "relabelled.dcm"
    ds.save_as(path, enforce_file_format=True)
    with Decoders(1) as decoders:
        found, expected = (open_pixels(one, decoders).frame(1) for one in (path, original))
    np.testing.assert_array_equal(found, expected)
    assert [one.shape for one in inspect_paths([path]).stacks] == [(1, ds.Rows, ds.Columns)]


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_the_one_syntax_that_is_not_read_is_refused_by_its_name(data_dir: Path, name: str) -> None:
    code, document = inspect(named(data_dir, name))
    assert (code, document["stacks"]) == (4, [])
    (refused,) = document["refused"]
    assert refused["reason"] == "NO_DECODER"
    assert "JPEG Extended (Process 2 and 4) (1.2.840.10008.1.2.4.51)" in refused["detail"]
