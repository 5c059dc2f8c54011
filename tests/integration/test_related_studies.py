"""An annotation in another study than its images, in any order of arrival."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import UID

from dicomnode.dispatching import Orders, start_studies
from dicomnode.domain import SEG_ONLY, AssociationEnd, JobOptions, StudyState, Uid
from dicomnode.network.part10 import StoreRequest
from dicomnode.receiving import receive
from dicomnode.store import arrivals, associations, jobs
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.spool import Spool
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.fakes import FillsTheBox
from tests.folders import seg_of
from tests.sr_objects import dcmqi_report

ORDERS = Orders(quiet_seconds=0, options=JobOptions(), model=FillsTheBox().identity)
PLANNING, OTHER = f"{STUDY}.77", f"{STUDY}.88"
IMAGES = ct_series()


def drawing() -> Dataset:
    """Return a structure set of a study of its own, which names the images."""
    ds = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5)]})
    ds.StudyInstanceUID = PLANNING
    return ds


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    database = Database(tmp_path / "node.sqlite")
    database.upgrade()
    yield Desk(database=database, spool=Spool(tmp_path / "spool"), destinations={"pacs": SEG_ONLY})
    database.close()


def arrive(desk: Desk, objects: Iterable[Dataset], folder: Path) -> None:
    """Let `objects` arrive in an association of their own, which is closed."""
    association = associations.open_association(desk.database, "SENDER")
    for ds in objects:
        (path,) = save([ds], folder)
        content = path.read_bytes()
        request = StoreRequest(
            sop_class_uid=Uid(ds.SOPClassUID),
            sop_instance_uid=Uid(ds.SOPInstanceUID),
            transfer_syntax_uid=Uid("1.2.840.10008.1.2.1"),
            peer_ae="SENDER",
            association_id=association,
        )
        receive(desk, request, [content[144 + int.from_bytes(content[140:144], "little") :]])
    associations.close_association(desk.database, association, AssociationEnd.RELEASED)


def state_of(desk: Desk, study_uid: str) -> StudyState:
    study = arrivals.study_of(desk.database, Uid(study_uid))
    assert study is not None
    return study.state


def only_job(desk: Desk) -> None:
    """Assert that there is one job, on all images."""
    (row,) = jobs.all_jobs(desk.database)
    job = jobs.load(desk.database, desk.spool, row)
    assert [plane.key.sop_instance_uid for plane in job.images.planes] == [ds.SOPInstanceUID for ds in IMAGES]


def test_images_that_came_before_are_found_in_their_study(desk: Desk, tmp_path: Path) -> None:
    arrive(desk, IMAGES, tmp_path / "images")
    assert start_studies(desk, ORDERS) == 0
    arrive(desk, [drawing()], tmp_path / "drawing")
    assert start_studies(desk, ORDERS) == 1
    only_job(desk)


def test_an_annotation_that_came_before_waits_for_the_images_of_another_study(desk: Desk, tmp_path: Path) -> None:
    arrive(desk, [drawing()], tmp_path / "drawing")
    assert start_studies(desk, ORDERS) == 0
    assert state_of(desk, PLANNING) is StudyState.HELD
    arrive(desk, IMAGES, tmp_path / "images")
    start_studies(desk, ORDERS)
    start_studies(desk, ORDERS)
    assert state_of(desk, PLANNING) is StudyState.DISPATCHED
    only_job(desk)


def test_an_annotation_that_names_other_images_goes_on_waiting(desk: Desk, tmp_path: Path) -> None:
    foreign = drawing()
    for roi in foreign.ROIContourSequence:
        for contour in roi.ContourSequence:
            contour.ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.3.4"
    arrive(desk, [foreign], tmp_path / "drawing")
    arrive(desk, IMAGES, tmp_path / "images")
    assert start_studies(desk, ORDERS) + start_studies(desk, ORDERS) == 0
    assert state_of(desk, PLANNING) is StudyState.HELD


def of_other_images() -> tuple[list[Dataset], Dataset]:
    """Return images of a third study, and a structure set on them in the study of `IMAGES`."""
    others = ct_series(StudyInstanceUID=OTHER, SeriesInstanceUID=f"{OTHER}.2", FrameOfReferenceUID=f"{OTHER}.9")
    for number, ds in enumerate(others, start=1):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{OTHER}.2.{number}")
    drawn = rtstruct(others, {"liver": [square(10, 8, 20, 16, 2.5)]}, frame_of_reference=f"{OTHER}.9")
    drawn.SOPInstanceUID = drawn.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.3.2")
    return others, drawn


@pytest.mark.parametrize("late", [False, True])
def test_a_dispatched_study_gets_the_images_of_another_one_in_any_order(
    desk: Desk, tmp_path: Path, *, late: bool
) -> None:
    others, drawn = of_other_images()
    here = [*IMAGES, rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5)]}), drawn]
    for number, sent in enumerate([here, others] if late else [others, here]):
        arrive(desk, sent, tmp_path / str(number))
        start_studies(desk, ORDERS)
    start_studies(desk, ORDERS)
    assert len(jobs.all_jobs(desk.database)) == 2
    assert state_of(desk, STUDY) is StudyState.DISPATCHED
    assert not arrivals.receiving(desk.database)


def test_studies_that_name_each_others_images_are_not_looked_at_for_ever(desk: Desk, tmp_path: Path) -> None:
    others, drawn = of_other_images()
    back = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5)]})
    back.StudyInstanceUID = OTHER
    back.SOPInstanceUID = back.file_meta.MediaStorageSOPInstanceUID = UID(f"{OTHER}.3")
    arrive(desk, [*IMAGES, drawn], tmp_path / "one")
    start_studies(desk, ORDERS)
    arrive(desk, [*others, back], tmp_path / "other")
    for _ in range(3):
        start_studies(desk, ORDERS)
    assert len(jobs.all_jobs(desk.database)) == 2
    assert not arrivals.receiving(desk.database)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (2, 1, 0), (1, 2, 0)])
def test_measurements_of_a_segmentation_of_another_study_find_its_images(
    desk: Desk, tmp_path: Path, order: tuple[int, ...]
) -> None:
    seg = seg_of(IMAGES, rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5)]}), tmp_path / "seg")
    del seg.ContributingEquipmentSequence
    seg.StudyInstanceUID = OTHER
    report = dcmqi_report(seg.SOPInstanceUID)
    report.StudyInstanceUID = PLANNING
    parts = [IMAGES, [seg], [report]]
    for number in order:
        arrive(desk, parts[number], tmp_path / str(number))
        start_studies(desk, ORDERS)
    for _ in range(2):
        start_studies(desk, ORDERS)
    made = [jobs.load(desk.database, desk.spool, row) for row in jobs.all_jobs(desk.database)]
    assert sorted((one.annotation.kind.value, len(one.companions)) for one in made) == [("SEG", 0), ("SR", 1)]
    assert not arrivals.receiving(desk.database)


def phases() -> list[Dataset]:
    """Return two phases of one series at the same places, of five images each."""
    second = ct_series(AcquisitionNumber=2)
    for number, image in enumerate(second):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.2.9{number}")
    return [*IMAGES, *second]


def doubtful() -> Dataset:
    """Return a structure set that lists both phases and is drawn on neither."""
    ds = rtstruct(phases(), {"node": [square(10, 8, 20, 16, 2.5)]}, references=False)
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.3.7")
    return ds


def test_a_study_whose_annotation_fits_two_stacks_alike_is_held(desk: Desk, tmp_path: Path) -> None:
    arrive(desk, [*phases(), doubtful()], tmp_path / "study")
    assert start_studies(desk, ORDERS) == 0
    study = arrivals.study_of(desk.database, Uid(STUDY))
    assert study is not None
    assert (study.state, "AMBIGUOUS_SERIES" in (study.reason or "")) == (StudyState.HELD, True)


def test_a_doubtful_annotation_beside_one_that_is_clear_is_logged_by_its_reason(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clear = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5)]})
    arrive(desk, [*phases(), doubtful(), clear], tmp_path / "study")
    assert start_studies(desk, ORDERS) == 1
    told = [vars(record) for record in caplog.records if vars(record).get("action") == "study_left_out"]
    assert [one["reasons"] for one in told] == ["AMBIGUOUS_SERIES"]


def test_a_structure_set_that_comes_with_another_series_than_it_is_drawn_on_waits_for_its_own(
    desk: Desk, tmp_path: Path
) -> None:
    other = ct_series(step=3.0, Modality="CT", SeriesInstanceUID=f"{STUDY}.4")
    for number, image in enumerate(other):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.4.{number}")
    drawn = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5)]})
    (listed,) = drawn.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    beside = Dataset()
    beside.SeriesInstanceUID, beside.ContourImageSequence = f"{STUDY}.4", []
    listed.RTReferencedSeriesSequence.append(beside)
    arrive(desk, [*other, drawn], tmp_path / "first")
    assert (start_studies(desk, ORDERS), state_of(desk, STUDY)) == (0, StudyState.HELD)
    arrive(desk, IMAGES, tmp_path / "second")
    assert start_studies(desk, ORDERS) == 1
    only_job(desk)
