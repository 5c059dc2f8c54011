"""When a node starts a study that DCMTK sends it in parts, in other orders, and breaking off."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import SegmentationStorage

from dicomnode.domain import StudyState, Uid
from dicomnode.store import arrivals
from dicomnode.store.events import Event, events
from tests.builders import STUDY, save
from tests.conftest import require_program
from tests.fakes import Loopback
from tests.inbox import other_study
from tests.serving import Serving, serving, until

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    with Loopback(tmp_path_factory.mktemp("pacs")) as pacs:
        yield pacs


@pytest.fixture(scope="module")
def node(pacs: Loopback, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Lend a node that starts a study without evidence after 2 seconds."""
    node = serving(tmp_path_factory.mktemp("node"), pacs.peer, quiet_seconds=2.0)
    with node.running():
        yield node


def storescu(node: Serving, folder: Path, objects: Sequence[Dataset], *options: str) -> None:
    """Send `objects` in one association of DCMTK's."""
    save(objects, folder)
    program = require_program("storescu")
    command = [program, "-aec", "DICOMNODE", *options, "+sd", "127.0.0.1", str(node.port), str(folder)]
    subprocess.run(command, check=True, timeout=60)


def waits_for(node: Serving, study_uid: str, words: str) -> bool:
    """Return whether the study waits, and its reason says so in `words`."""
    with node.database() as database:
        study = arrivals.study_of(database, Uid(study_uid))
    return study is not None and study.state is not StudyState.DISPATCHED and words in str(study.reason)


def dispatched(node: Serving, study_uid: str, count: int = 1) -> list[Event]:
    """Return the events of the study's being dispatched, once there are `count`."""

    def found() -> list[Event]:
        with node.database() as database:
            return [one for one in events(database, "study_dispatched") if one.details["study"] == study_uid]

    return until(lambda: found() if len(found()) >= count else [], 30)


def kinds(event: Event) -> list[str]:
    return [one["kind"] for one in event.details["findings"]]


def segs_of(pacs: Loopback, study_uid: str, count: int) -> list[Dataset]:
    """Return the SEGs of the study in the PACS, in the order they came, once there are `count`."""

    def found() -> list[Dataset]:
        arrived = [dcmread(path) for path in pacs.received]
        return [ds for ds in arrived if ds.StudyInstanceUID == study_uid and ds.SOPClassUID == SegmentationStorage]

    return until(lambda: found() if len(found()) >= count else [], 60)


def test_an_annotation_that_comes_before_its_images_starts_with_the_last_of_them(
    node: Serving, pacs: Loopback, tmp_path: Path
) -> None:
    *images, drawn = other_study(11)
    storescu(node, tmp_path / "one", [drawn])
    storescu(node, tmp_path / "other", images)
    (event,) = dispatched(node, f"{STUDY}.11")
    assert kinds(event) == ["associations", "images", "list"]
    assert len(segs_of(pacs, f"{STUDY}.11", 1)) == 1


def test_images_over_two_associations_make_one_seg(node: Serving, pacs: Loopback, tmp_path: Path) -> None:
    *images, drawn = other_study(13)
    storescu(node, tmp_path / "one", [drawn, *images[:3]])
    until(lambda: waits_for(node, f"{STUDY}.13", "3 of the 6 images that its annotations name are not here"), 20)
    storescu(node, tmp_path / "other", images[3:])
    segs_of(pacs, f"{STUDY}.13", 1)
    (event,) = dispatched(node, f"{STUDY}.13")
    assert len(event.details["jobs"]) == 1
    assert kinds(event) == ["associations", "images", "list"]


def test_an_aborted_association_and_then_all_again_make_one_seg(node: Serving, pacs: Loopback, tmp_path: Path) -> None:
    *images, drawn = other_study(14)
    storescu(node, tmp_path / "one", [drawn, *images[:3]], "--abort")
    until(lambda: waits_for(node, f"{STUDY}.14", "1 associations that brought it broke off (aborted)"), 20)
    storescu(node, tmp_path / "all", [drawn, *images])
    segs_of(pacs, f"{STUDY}.14", 1)
    (event,) = dispatched(node, f"{STUDY}.14")
    assert [one["for"] for one in event.details["findings"]] == [True, True, True]


def test_late_images_make_a_second_seg_that_supersedes_the_first(node: Serving, pacs: Loopback, tmp_path: Path) -> None:
    study = f"{STUDY}.15"
    *images, _ = other_study(15, planes=8)
    drawn = other_study(15)[-1]
    storescu(node, tmp_path / "one", [*images[:6], drawn])
    segs_of(pacs, study, 1)
    storescu(node, tmp_path / "late", images[6:])
    first, second = segs_of(pacs, study, 2)
    assert first.SOPInstanceUID != second.SOPInstanceUID
    before, after = (event.details["jobs"] for event in dispatched(node, study, 2))
    with node.database() as database:
        (superseded,) = [one.details for one in events(database, "job_superseded") if [one.details["by"]] == after]
    assert [superseded["job"]] == before
    assert "job_superseded" in node.log
