"""Codes that are too long to be written are cut or left out, and the rest of the annotation goes on."""

from pathlib import Path

import pytest
from pydicom import Dataset

from dicomnode.dicom.codes import is_gross_tumour
from dicomnode.dicom.prompts.codes import code_in
from dicomnode.dicom.results.segments import describe_segment
from dicomnode.domain import Code, JobOptions, Mask
from tests.builders import ct_series, rtstruct, square
from tests.fakes import FillsTheBox
from tests.folders import prompts_of


def item(value: str = "1", scheme: str = "99X", meaning: str = "m", keyword: str = "CodeValue") -> Dataset:
    ds = Dataset()
    setattr(ds, keyword, value)
    ds.CodingSchemeDesignator, ds.CodeMeaning = scheme, meaning
    return ds


@pytest.mark.filterwarnings("ignore:.*exceeds the maximum length")
def test_a_code_is_cut_or_left_out_where_it_cannot_be_written() -> None:
    assert code_in(item(meaning="m" * 70)) == Code(value="1", scheme="99X", meaning="m" * 64)
    assert code_in(item(value="v" * 17)) == Code(value="v" * 17, scheme="99X", meaning="m")
    assert code_in(item(scheme="S" * 17)) is None
    long = "v" * 80
    assert code_in(item(value=long, meaning="", keyword="LongCodeValue")) == Code(
        value=long, scheme="99X", meaning="v" * 64
    )


@pytest.mark.filterwarnings("ignore:.*exceeds the maximum length")
@pytest.mark.parametrize(
    ("code", "written"),
    [
        (item(), ("1", "99X", "m")),
        (item(meaning="m" * 70), ("1", "99X", "m" * 64)),
        (item(value="v" * 17), ("v" * 17, "99X", "m")),
        (item(scheme="S" * 17), None),
        (item(value="v" * 80, meaning="", keyword="LongCodeValue"), ("v" * 80, "99X", "v" * 64)),
    ],
)
def test_no_code_keeps_a_structure_set_from_being_described(
    tmp_path: Path, code: Dataset, written: tuple[str, str, str] | None
) -> None:
    images = ct_series()
    ds = rtstruct(images, {"thing": [square(10, 8, 20, 16, 2.5)]})
    ds.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence = [code]
    found, _ = prompts_of(images, ds, tmp_path, JobOptions())
    (prompt,) = found.prompts
    described = describe_segment(1, Mask(prompt=prompt, planes={}), FillsTheBox().identity).segmented_property_type
    assert (described.scheme_designator != "99X") is (written is None)
    if written:
        assert (described.value, described.scheme_designator, described.meaning) == written


@pytest.mark.parametrize(
    ("name", "tumour"),
    [
        ("GTV", True),
        ("GTVp1", True),
        ("GTV_1", True),
        ("GTV-CTV", False),
        ("GTV-PTV", False),
        ("gtv minus ptv60", False),
        ("CTV", False),
    ],
)
def test_a_gross_tumour_less_a_planning_volume_is_no_lesion(name: str, tumour: bool) -> None:  # noqa: FBT001
    assert is_gross_tumour(name) is tumour
