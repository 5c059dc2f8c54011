from collections.abc import Mapping

from pydicom.uid import CTImageStorage, MRImageStorage, RTStructureSetStorage

from dicomnode.domain import Uid
from dicomnode.network.contexts import ACCEPTED_SYNTAXES
from dicomnode.network.portions import Portion
from dicomnode.network.retrieve import UNKNOWN, class_groups, requests_of, storage_contexts
from dicomnode.network.web import paths_of

CLASSES = [str(one) for one in (CTImageStorage, MRImageStorage, RTStructureSetStorage)]


def portion(objects: Mapping[str, str], *, whole: bool = True) -> Portion:
    named = {Uid(uid): name for uid, name in objects.items()}
    return Portion(study_uid=Uid("1.1"), series_uid=Uid("1.2"), objects=named, whole=whole)


def test_every_class_is_in_one_association_which_has_room_for_its_contexts() -> None:
    groups = list(class_groups(CLASSES))
    assert [name for group in groups for name in group] == CLASSES
    assert all(1 + len(storage_contexts(group)) <= 128 for group in groups)


def test_each_syntax_has_a_context_of_its_own_so_that_the_peer_does_not_choose() -> None:
    contexts = storage_contexts(CLASSES[:1])
    assert [context.transfer_syntax for context in contexts] == [[syntax] for syntax in ACCEPTED_SYNTAXES]


def test_classes_that_are_not_told_get_the_usual_contexts_in_an_association_of_their_own() -> None:
    assert list(class_groups([UNKNOWN, CLASSES[0]])) == [(CLASSES[0],), (UNKNOWN,)]
    contexts = storage_contexts([UNKNOWN])
    assert 100 < len(contexts) <= 127
    assert CTImageStorage in {context.abstract_syntax for context in contexts}


def test_a_whole_series_is_asked_for_as_one() -> None:
    (query,) = requests_of([portion({"1.3": CLASSES[0], "1.4": CLASSES[0]})], CLASSES)
    assert (query.QueryRetrieveLevel, query.StudyInstanceUID, query.SeriesInstanceUID) == ("SERIES", "1.1", "1.2")
    assert "SOPInstanceUID" not in query


def test_a_part_of_a_series_is_asked_for_by_uids_fifty_at_a_time() -> None:
    many = {f"1.3.{number}": CLASSES[0] for number in range(120)}
    queries = list(requests_of([portion(many, whole=False)], CLASSES))
    assert [len(query.SOPInstanceUID) for query in queries] == [50, 50, 20]
    assert {uid for query in queries for uid in query.SOPInstanceUID} == set(many)


def test_of_a_series_of_several_classes_only_those_of_the_association_are_asked_for() -> None:
    mixed = [portion({"1.3": CLASSES[0], "1.4": CLASSES[1]})]
    (query,) = requests_of(mixed, CLASSES[:1])
    assert (query.QueryRetrieveLevel, query.SOPInstanceUID) == ("IMAGE", "1.3")
    assert list(requests_of(mixed, CLASSES[2:])) == []


def test_a_web_service_is_asked_for_a_series_or_for_each_object() -> None:
    objects = {"1.3": CLASSES[0], "1.4": CLASSES[0]}
    assert list(paths_of([portion(objects)])) == ["/studies/1.1/series/1.2"]
    by_object = [f"/studies/1.1/series/1.2/instances/{uid}" for uid in objects]
    assert list(paths_of([portion(objects, whole=False)])) == by_object
