from collections.abc import Sequence
from datetime import date

import pytest
from pydicom import Dataset

from dicomnode.domain import Uid, Wanted
from dicomnode.errors import Refused
from dicomnode.network.listing import Listing, counts, listing, matching, with_dates
from tests.archive import Archive
from tests.builders import STUDY, ct_series, rtstruct, square

IMAGES = ct_series(planes=3)
DRAWN = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5)]})
SERIES, PLAN = Uid(IMAGES[0].SeriesInstanceUID), Uid(DRAWN.SeriesInstanceUID)
ALL = (*IMAGES, DRAWN)
UIDS = tuple(Uid(ds.SOPInstanceUID) for ds in IMAGES)
HERE, OTHER = Uid(STUDY), Uid("1.9")


def found(
    wanted: Wanted, objects: Sequence[Dataset] = ALL, near: Uid | None = None, *, relational: bool = True
) -> Listing:
    return listing(Archive(objects=objects, relational=relational).search, wanted, near)


def test_a_study_is_all_of_its_series_each_object_with_its_class() -> None:
    made = found(Wanted(studies=(HERE,)))
    assert {portion.series_uid: len(portion.objects) for portion in made.portions} == {SERIES: 3, PLAN: 1}
    assert all(portion.whole and portion.study_uid == STUDY for portion in made.portions)
    assert set(made.portions[0].objects.values()) == {str(IMAGES[0].SOPClassUID)}
    assert made.unknown == ()


def test_of_a_study_only_series_of_the_modalities_are_taken() -> None:
    assert [one.series_uid for one in found(Wanted(studies=(HERE,), modalities=("RTSTRUCT",))).portions] == [PLAN]


def test_a_series_is_found_near_its_annotation_without_a_relational_query() -> None:
    assert found(Wanted(series=(SERIES,)), near=HERE, relational=False).objects == set(UIDS)


def test_a_series_of_another_study_is_found_by_a_relational_query() -> None:
    assert found(Wanted(series=(SERIES,)), near=OTHER).portions[0].study_uid == STUDY


def test_what_a_source_without_relational_queries_cannot_find_is_unknown() -> None:
    wanted = Wanted(series=(SERIES,), instances=(UIDS[0],))
    assert found(wanted, near=OTHER, relational=False).unknown == (SERIES, UIDS[0])


def test_instances_are_found_and_alone_or_with_the_series_that_they_are_in() -> None:
    alone = found(Wanted(instances=(UIDS[1],)))
    assert (alone.objects, alone.portions[0].whole) == (frozenset({UIDS[1]}), False)
    around = found(Wanted(instances=(UIDS[1],), around=True))
    assert (around.objects, around.portions[0].whole) == (frozenset(UIDS), True)


def test_instances_near_their_annotation_are_found_without_a_relational_query() -> None:
    assert found(Wanted(instances=UIDS[:2]), near=HERE, relational=False).objects == set(UIDS[:2])


def test_of_many_instances_those_that_are_nowhere_are_unknown() -> None:
    nowhere = tuple(Uid(f"1.5.{number}") for number in range(120))
    made = found(Wanted(instances=(*nowhere, UIDS[2])))
    assert made.objects == {UIDS[2]}
    assert made.unknown == nowhere


def test_an_unknown_study_and_an_unknown_series_are_unknown() -> None:
    assert found(Wanted(studies=(OTHER,), series=(Uid("1.8"),))).unknown == (OTHER, "1.8")


def test_what_is_wanted_twice_is_listed_once() -> None:
    made = found(Wanted(studies=(HERE,), series=(SERIES,), instances=UIDS))
    assert sorted(portion.series_uid for portion in made.portions) == sorted([SERIES, PLAN])
    assert all(portion.whole for portion in made.portions)


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ({"PatientName": "Phan*"}, True),
        ({"PatientName": "Nobody"}, False),
        ({"Modality": "RTSTRUCT"}, True),
        ({"Modality": "MR"}, False),
        ({"StructureSetLabel": "Test", "Modality": "RTSTRUCT"}, True),
        ({"SeriesNumber": "2"}, True),
        ({"SeriesNumber": "77"}, False),
    ],
)
def test_a_query_chooses_studies_by_keys_of_studies_and_of_series(query: dict[str, str], *, matches: bool) -> None:
    assert matching(Archive(objects=[DRAWN, *IMAGES]).search, Wanted(query=query)) == ((HERE,) if matches else ())


def test_a_query_that_matches_nothing_leaves_nothing_unknown() -> None:
    assert found(Wanted(query={"PatientName": "Nobody"})) == Listing(portions=(), unknown=())


@pytest.mark.parametrize("query", [{"PatientID": "*"}, {"Modality": "CT"}])
def test_a_query_brings_no_more_studies_than_its_limit(query: dict[str, str]) -> None:
    studies = [ct_series(planes=1, StudyInstanceUID=f"1.7.{number}")[0] for number in range(5)]
    found_ = matching(Archive(objects=studies).search, Wanted(query=query, limit=2))
    assert found_ == ("1.7.0", "1.7.1")


@pytest.mark.parametrize("told", [True, False])
def test_series_are_counted_as_told_or_by_listing_them(*, told: bool) -> None:
    archive = Archive(objects=ALL, counts=told)
    assert counts(archive.search, HERE) == {SERIES: 3, PLAN: 1}
    assert ("IMAGE" in archive.asked) is not told
    assert counts(archive.search, OTHER) == {}


def test_an_answer_that_names_no_uid_is_refused() -> None:
    bad = ct_series(planes=1, SeriesInstanceUID="../escaped")
    with pytest.raises(Refused, match="is no UID"):
        found(Wanted(studies=(HERE,)), bad)


def test_days_are_named_by_words_in_dates_alone() -> None:
    query = {"StudyDate": "yesterday-today", "PatientName": "today", "SeriesDate": "20260101"}
    assert with_dates(query, date(2026, 3, 1)) == query | {"StudyDate": "20260228-20260301"}


def test_a_source_that_refuses_the_only_query_that_there_is_says_why() -> None:
    with pytest.raises(Refused, match="no relational queries"):
        found(Wanted(series=(SERIES,)), relational=False)
