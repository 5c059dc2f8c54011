"""The 48 headers of `tests/variants.py`: each gives a valid SEG and report, or is refused with its reason."""

import warnings
from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.config import disable_value_validation

from dicomnode.domain import JobOptions, ObjectKind
from dicomnode.errors import Reason
from dicomnode.offline import Report, Wishes, segment_paths
from dicomnode.settings.profiles import BUILT_IN_PROFILES
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.validation import split_errors, waivers
from tests.variants import VARIANTS

# they say not where their planes lie, or nothing tells which is which
REFUSED = {
    "no directions": Reason.NO_GEOMETRY,
    "no positions": Reason.NO_GEOMETRY,
    "no pixel spacing": Reason.NO_GEOMETRY,
    "two images at one position": Reason.DUPLICATE_POSITIONS,
    "a study UID that is none": Reason.BAD_UID,
}
# identifiers and directions are written as they are
WRONG_IN_THE_SOURCE = {
    "an accession number too long": {"AccessionNumber"},
    "a study id too long": {"StudyID"},
    "a name too long": {"PatientName"},
    "a study UID with a leading zero": {"StudyInstanceUID"},
    "image UIDs with a leading zero": {"SOPInstanceUID"},
    "directions not quite at right angles": {"ImageOrientationPatient"},
}
VALID = [name for name in VARIANTS if name not in REFUSED]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Report]:
    """Return what became of each variant; one that raises anything ends all of these tests."""
    made = {}
    for name in VARIANTS:
        folder = tmp_path_factory.mktemp("variant")
        save_variant(name, folder / "in")
        wishes = Wishes(
            output=folder / "out",
            options=JobOptions(),
            profile=BUILT_IN_PROFILES["all"],
        )
        made[name] = segment_paths([folder / "in"], FillsTheBox(), wishes)
    return made


def save_variant(name: str, folder: Path) -> None:
    """Write the series of the variant and a structure set with a square on two of its planes."""
    plain = ct_series()
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom knows as well that what is written here is wrong
        images = deepcopy(plain)
        VARIANTS[name](images)
        for image, like in zip(plain, images, strict=True):
            image.SOPInstanceUID, image.StudyInstanceUID = like.SOPInstanceUID, like.StudyInstanceUID
        drawn = rtstruct(plain, {"A": [square(4.5, 4.5, 9.5, 9.5, z) for z in (2.5, 5.0)]})
        drawn.StudyInstanceUID = images[0].StudyInstanceUID
        save([*images, drawn], folder)


def test_there_are_48_headers_and_at_least_42_give_a_seg(reports: Mapping[str, Report]) -> None:
    assert len(reports) == 48
    assert sum(bool(report.results) for report in reports.values()) >= 42


@pytest.mark.parametrize("name", VALID)
def test_a_header_with_something_wrong_in_it_gives_the_same_mask(reports: Mapping[str, Report], name: str) -> None:
    (result,) = reports[name].results
    assert [(one.voxels, one.planes) for one in result.segments] == [(2 * 5 * 5, 2)]
    assert reports[name].failures == ()


@pytest.mark.parametrize("name", REFUSED)
def test_a_header_that_does_not_say_where_its_planes_lie_is_refused(reports: Mapping[str, Report], name: str) -> None:
    assert reports[name].results == ()
    assert REFUSED[name] in {one.reason for one in reports[name].refused}


Findings = Mapping[tuple[str, ObjectKind], list[tuple[set[str], list[str]]]]


@pytest.fixture(scope="module")
def findings(reports: Mapping[str, Report]) -> Findings:
    """Return by variant and kind what dciodvfy finds wrong: elements that are the source's, and all else."""
    found: defaultdict[tuple[str, ObjectKind], list[tuple[set[str], list[str]]]] = defaultdict(list)
    for name in VALID:
        (result,) = reports[name].results
        with disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sources = [dcmread(image.path, stop_before_pixels=True) for image in result.job.images.images]
            for made in result.objects:
                found[name, made.kind].append(split_errors(made.path, *sources))
    return found


@pytest.mark.peer
@pytest.mark.parametrize("name", VALID)
def test_a_result_of_any_kind_has_no_error_but_what_its_source_has(findings: Findings, name: str) -> None:
    wrong = WRONG_IN_THE_SOURCE.get(name, set())
    assert {kind for variant, kind in findings if variant == name} == set(ObjectKind)
    for kind in ObjectKind:
        stated = wrong if kind is ObjectKind.SEG else wrong - {"ImageOrientationPatient"}  # no other has directions
        assert findings[name, kind] == [(stated, [])] * len(findings[name, kind])


@pytest.mark.peer
def test_every_waiver_is_needed(findings: Findings) -> None:
    needed = {element for found in findings.values() for elements, _ in found for element in elements}
    assert sorted(waiver.element for waiver in waivers()) == sorted(needed)
