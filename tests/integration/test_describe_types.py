"""Image Type and what splits a series, as real headers state them."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.uid import CTImageStorage, MRImageStorage, NuclearMedicineImageStorage

from dicomnode.dicom.instances import describe
from dicomnode.domain import ImageInstance, Instance, OtherInstance
from dicomnode.errors import Reason
from tests.builders import ct_series
from tests.multiframe import enhanced, item

TYPE = ("DERIVED", "SECONDARY")


def described(ds: Dataset) -> Instance:
    buffer = BytesIO()
    dcmwrite(buffer, ds, implicit_vr=False, little_endian=True, enforce_file_format=True)
    buffer.seek(0)
    return describe(buffer, path=Path("x"), digest="")


def reason_of(image_type: tuple[str, ...]) -> Reason | None:
    """Return why a CT image of that type is left out, None where it is not."""
    (ds,) = ct_series(planes=1, ImageType=list(image_type))
    found = described(ds)
    return found.exclusion.reason if isinstance(found, OtherInstance) else None


def tags_of(ds: Dataset) -> dict[str, Any]:
    found = described(ds)
    assert isinstance(found, ImageInstance)
    return {**found.tags, **found.frames[0].tags}


@pytest.mark.parametrize(
    "word",
    [
        *("PROJECTION", "MIP", "MINIP", "MNIP", "MAX_IP", "MIN_IP", "VOLUME_RENDER", "SURFACE_RENDER", "CURVED_MPR"),
        *("MIP_COR", "T2_MIP", "CT_SOM5 MIP", "PROJECTION IMAGE"),
    ],
)
def test_a_projection_is_known_by_its_word_among_the_values_from_the_third_on(word: str) -> None:
    assert reason_of((*TYPE, "ND", word)) is Reason.PROJECTION
    assert reason_of((*TYPE, word, "NORM")) is Reason.PROJECTION
    assert reason_of((word, "SECONDARY", "AXIAL")) is None
    assert reason_of(("DERIVED", word, "AXIAL")) is None


def test_the_minip_of_a_susceptibility_scan_is_a_projection() -> None:
    assert reason_of(("ORIGINAL", "PRIMARY", "MNIP", "ND", "NORM")) is Reason.PROJECTION


@pytest.mark.parametrize("word", ["MPR", "MIPS", "CHIP", "PROJECTIONS2", "AXIAL", "AVERAGE", "MIP1"])
def test_a_word_that_only_looks_like_a_projection_is_none(word: str) -> None:
    assert reason_of((*TYPE, word)) is None


@pytest.mark.parametrize("word", ["SCREEN SAVE", "SCREENSAVE", "SCREEN_SAVE", "DOSE_INFO", "CSA REPORT"])
def test_a_picture_of_a_screen_is_known_by_its_word(word: str) -> None:
    assert reason_of((*TYPE, word)) is Reason.SCREEN_SAVE
    assert reason_of((*TYPE, f"NO {word}")) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, Reason.UNSUPPORTED_MOSAIC),
        ({"AcquisitionMatrix": [0, 64, 64, 0]}, Reason.UNSUPPORTED_MOSAIC),
        ({"AcquisitionMatrix": None}, None),
        ({"AcquisitionMatrix": [60, 0, 0, 50]}, None),
        ({"PixelSpacing": [0.5, 0.5]}, None),
        ({"PixelSpacing": [3.25, 1.5]}, None),
        ({"SOPClassUID": CTImageStorage}, None),
    ],
    ids=str,
)
def test_a_mosaic_that_has_lost_its_name_is_known_by_its_size(changes: dict[str, Any], reason: Reason | None) -> None:
    mosaic = {"SOPClassUID": MRImageStorage, "Modality": "MR", "AcquisitionMatrix": [64, 0, 0, 64]}
    (ds,) = ct_series(planes=1, shape=(384, 384), spacing=(3.25, 3.25), **{**mosaic, **changes})
    found = described(ds)
    assert (found.exclusion.reason if isinstance(found, OtherInstance) else None) is reason


@pytest.mark.parametrize(("kind", "reason"), [("RECON TOMO", Reason.UNSUPPORTED_IMAGE), ("TOMO", None)])
@pytest.mark.parametrize("frames", [4, 1])
def test_a_reconstructed_nm_tomogram_is_set_aside_by_its_name(kind: str, reason: Reason | None, frames: int) -> None:
    image_type = ["ORIGINAL", "PRIMARY", kind, "EMISSION"]
    (ds,) = ct_series(planes=1, SOPClassUID=NuclearMedicineImageStorage, Modality="NM", ImageType=image_type)
    ds.NumberOfFrames, ds.PixelData = frames, ds.PixelData * frames
    found = described(ds)
    expected = reason if frames > 1 else None
    assert (found.exclusion.reason if isinstance(found, OtherInstance) else None) is expected


@pytest.mark.parametrize(
    ("image_type", "shows", "came_to_be"),
    [
        (["ORIGINAL", "PRIMARY", "M", "ND"], "M\\ND", "ORIGINAL\\PRIMARY"),
        (["DERIVED", "SECONDARY", "M", "ND"], "M\\ND", "DERIVED\\SECONDARY"),
        (["ORIGINAL", "PRIMARY"], None, "ORIGINAL\\PRIMARY"),
    ],
)
def test_what_an_image_shows_is_apart_from_how_it_came_to_be(
    image_type: list[str], shows: str | None, came_to_be: str
) -> None:
    tags = tags_of(ct_series(planes=1, ImageType=image_type)[0])
    assert (tags.get("ImageType"), tags["ImageType values 1-2"]) == (shows, came_to_be)


def test_the_frames_of_an_enhanced_image_state_the_same() -> None:
    ds = enhanced(ct_series(planes=2))
    frame_type = item(FrameType=["DERIVED", "PRIMARY", "VOLUME", "NONE"])
    ds.SharedFunctionalGroupsSequence[0].CTImageFrameTypeSequence = [frame_type]
    tags = tags_of(ds)
    assert (tags["ImageType"], tags["ImageType values 1-2"]) == ("VOLUME\\NONE", "DERIVED\\PRIMARY")
    assert tags["SliceThickness"] == ct_series(planes=1)[0].SliceThickness


@pytest.mark.parametrize(
    ("group", "creator", "element", "vr", "value", "expected"),
    [
        (0x0019, "SIEMENS MR HEADER", 0x0C, "IS", "800", 800),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", ["1000", "8", "0", "0"], 1000),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", ["1000000700", "8", "0", "0"], 700),
        (0x0043, "GEMS_PARM_01", 0x39, "IS", ["1000000000", "8", "0", "0"], 0),
        (0x0043, "GEMS_PARM_01", 0x39, "OB", b"1000000050\\8\\0\\0", 50),
        (0x2001, "Philips Imaging DD 001", 0x03, "FL", 600.0, 600),
    ],
)
def test_a_private_b_value_counts_without_what_ge_adds_to_it(
    group: int, creator: str, element: int, vr: str, value: object, expected: float
) -> None:
    (ds,) = ct_series(planes=1)
    ds.private_block(group, creator, create=True).add_new(element, vr, value)
    assert tags_of(ds)["DiffusionBValue"] == expected


def test_a_time_that_is_absent_is_none_though_its_date_is_there() -> None:
    (ds,) = ct_series(planes=1, ContentDate="20200101", ContentTime=None)
    assert "ContentTime" not in tags_of(ds)
