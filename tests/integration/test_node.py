import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID, SegmentationStorage

from dicomnode.counting import Count
from dicomnode.domain import DeliveryState, JobState, StudyState, Uid
from dicomnode.errors import Unavailable
from dicomnode.network.associations import Peer
from dicomnode.network.sender import send_all
from dicomnode.node import Node
from dicomnode.settings import Destination, Listener, Readiness, Settings
from dicomnode.settings import Node as NodeTable
from dicomnode.settings.tables import PromptSettings
from dicomnode.store import arrivals, deliveries, jobs
from dicomnode.store.arrivals import StudyRow
from dicomnode.store.database import Database
from dicomnode.store.events import Event, events
from dicomnode.store.spool import Spool
from dicomnode.worker import LoadRuntime
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.fakes import EndsTheProcess, FillsTheBox, FindsBright, Loopback

QUIET = 0.3
IMAGES = ct_series()
DRAWN = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5), square(10, 8, 20, 16, 5.0)]})


class Site:
    """A node with its data folder and its PACS."""

    def __init__(self, folder: Path, pacs: Loopback | None, *others: Destination) -> None:
        self.folder = folder
        self.pacs = pacs
        self.data_dir = folder / "data"
        self._sent = 0
        destinations = list(others)
        if pacs is not None:
            peer = pacs.peer
            destinations.append(Destination(name="pacs", ae_title=peer.ae_title, host=peer.host, port=peer.port))
        self.settings = Settings(
            node=NodeTable(data_dir=self.data_dir),
            listener=Listener(host="127.0.0.1", port=0),
            readiness=Readiness(quiet_seconds=QUIET),
            destinations=tuple(destinations),
        )

    @contextmanager
    def running(self, load: LoadRuntime = FillsTheBox, count: Count | None = None) -> Iterator[Node]:
        with Node(self.settings, load=load, count=count) as node:
            yield node
        assert not node.broken.is_set()

    def send(self, node: Node, *objects: Dataset) -> None:
        """Send `objects` to the node in one association."""
        self._sent += 1
        paths = save(objects, self.folder / f"sent {self._sent}")
        send_all(paths, Peer(ae_title="DICOMNODE", host="127.0.0.1", port=node.port), "SENDER")

    def segs(self, count: int = 1) -> list[Dataset]:
        """Return the SEGs in the PACS, once there are `count`."""
        assert self.pacs is not None
        return [dcmread(path) for path in self.pacs.wait_for(count, timeout=20)]

    @contextmanager
    def database(self) -> Iterator[Database]:
        database = Database(self.data_dir / "dicomnode.sqlite")
        yield database
        database.close()

    def study(self) -> StudyRow:
        with self.database() as database:
            found = arrivals.study_of(database, Uid(STUDY))
        assert found is not None
        return found

    def jobs(self) -> Sequence[jobs.JobRow]:
        with self.database() as database:
            return jobs.all_jobs(database)

    def deliveries(self) -> dict[str, deliveries.DeliveryRow]:
        with self.database() as database:
            return {row.destination: row for row in deliveries.all_deliveries(database)}

    def events(self, what: str) -> Sequence[Event]:
        with self.database() as database:
            return events(database, what)

    def wait_for_study(self, state: StudyState, generation: int = 1) -> StudyRow:
        until(lambda: (self.study().state, self.study().generation) == (state, generation))
        return self.study()


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def referenced(seg: Dataset) -> set[str]:
    """Return the SOP Instance UIDs of the images that `seg` names."""
    return {
        item.ReferencedSOPInstanceUID
        for series in seg.ReferencedSeriesSequence
        for item in series.ReferencedInstanceSequence
    }


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Loopback(tmp_path / "pacs") as pacs:
        yield Site(tmp_path, pacs)


@pytest.mark.parametrize(
    "order", [pytest.param((*IMAGES, DRAWN), id="images first"), pytest.param((DRAWN, *IMAGES), id="RTSTRUCT first")]
)
def test_a_study_comes_back_as_a_seg(site: Site, order: Iterable[Dataset]) -> None:
    with site.running() as node:
        site.send(node, *order)
        (seg,) = site.segs()
        until(lambda: site.deliveries()["pacs"].state is DeliveryState.DELIVERED)
    assert seg.SOPClassUID == SegmentationStorage
    assert seg.StudyInstanceUID == STUDY
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["liver"]
    assert [job.state for job in site.jobs()] == [JobState.DONE]
    assert site.pacs is not None
    assert len(site.pacs.received) == 1


def test_a_pacs_that_has_as_many_images_lets_a_study_start_without_waiting(site: Site) -> None:
    site.settings = site.settings.model_copy(update={"readiness": Readiness(quiet_seconds=600)})
    listing_only_drawn = rtstruct(IMAGES[1:3], {"liver": [square(10, 8, 20, 16, 2.5), square(10, 8, 20, 16, 5.0)]})
    with site.running(count=lambda _study: {Uid(IMAGES[0].SeriesInstanceUID): len(IMAGES)}) as node:
        site.send(node, *IMAGES, listing_only_drawn)
        site.segs()
    (event,) = site.events("study_dispatched")
    assert [one["kind"] for one in event.details["findings"]] == ["associations", "images", "count"]


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (IMAGES, [DRAWN], "5 images and no annotation of them"),
        ([DRAWN], IMAGES, "1 annotations and no images"),
    ],
)
def test_what_is_missing_may_come_later(
    site: Site, first: Iterable[Dataset], second: Iterable[Dataset], reason: str
) -> None:
    with site.running() as node:
        site.send(node, *first)
        assert (site.wait_for_study(StudyState.INCOMPLETE).reason or "").startswith(reason)
        site.send(node, *second)
        (seg,) = site.segs()
    assert len(referenced(seg)) >= 2
    assert site.study().generation == 1


def test_an_annotation_that_means_none_of_the_images_holds_the_study_until_another_comes(site: Site) -> None:
    stranger = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5)]}, references=False, frame_of_reference="1.2")
    stranger.ReferencedFrameOfReferenceSequence = []
    stranger.SOPInstanceUID = stranger.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.3.2")
    with site.running() as node:
        site.send(node, *IMAGES, stranger)
        held = site.wait_for_study(StudyState.HELD)
        site.send(node, DRAWN)
        assert len(site.segs()) == 1
    assert held.reason is not None
    assert held.reason.startswith("none of 1 annotations means any of 5 images (")
    assert [left["reason"] for event in site.events("left_out") for left in event.details["left_out"]] == ["NO_IMAGES"]


def test_late_images_make_a_new_generation_with_a_seg_of_its_own(site: Site) -> None:
    late = ct_series(planes=7)[5:]
    with site.running() as node:
        site.send(node, *IMAGES, DRAWN)
        (first,) = site.segs()
        site.send(node, *late)
        second = site.segs(2)[1]
        site.wait_for_study(StudyState.DISPATCHED, generation=2)
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert len(site.jobs()) == 2


def test_a_study_that_is_sent_again_is_not_segmented_again(site: Site) -> None:
    with site.running() as node:
        site.send(node, *IMAGES, DRAWN)
        site.segs()
        site.send(node, *IMAGES, DRAWN)
        time.sleep(QUIET + 1)
    assert site.pacs is not None
    assert len(site.pacs.received) == 1
    assert site.study().generation == 1


def test_a_result_that_the_pacs_forwards_back_sets_nothing_in_motion(site: Site) -> None:
    with site.running() as node:
        site.send(node, *IMAGES, DRAWN)
        (seg,) = site.segs()
        site.send(node, seg)
        time.sleep(QUIET + 1)
    assert site.study().state is StudyState.DISPATCHED
    assert site.study().generation == 1
    assert len(site.jobs()) == 1


def test_a_pacs_that_forwards_everything_to_another_node_makes_nothing_of_its_result(site: Site) -> None:
    with site.running() as node:
        site.send(node, *IMAGES, DRAWN)
        (seg,) = site.segs()
    other = Site(site.folder / "other", site.pacs)
    with other.running() as node:
        other.send(node, seg, *IMAGES, DRAWN)
        until(lambda: other.events("job_done"))
        time.sleep(QUIET + 1)
    assert len(other.jobs()) == 1
    assert [left["reason"] for event in other.events("left_out") for left in event.details["left_out"]] == [
        "OWN_RESULT"
    ]


def test_the_result_of_another_node_is_a_prompt_where_the_settings_ask_for_it(site: Site) -> None:
    with site.running() as node:
        site.send(node, *IMAGES, DRAWN)
        (seg,) = site.segs()
    other = Site(site.folder / "other", None)
    other.settings = other.settings.model_copy(update={"prompts": PromptSettings(own_results=True)})
    with other.running() as node:
        other.send(node, seg, *IMAGES, DRAWN)
        until(lambda: len(other.events("job_done")) == 2)
    assert not other.events("left_out")


def test_a_job_without_a_box_is_refused_with_the_reason(site: Site) -> None:
    empty = rtstruct(IMAGES, {"liver": []})
    with site.running() as node:
        site.send(node, *IMAGES, empty)
        until(lambda: site.events("job_refused"))
    (job,) = site.jobs()
    assert job.state is JobState.REFUSED
    assert job.reason is not None
    assert job.reason.startswith(f"job {job.key[:12]}: EMPTY_RESULT: ")
    assert job.reason.endswith("it has no contours")
    assert site.pacs is not None
    assert site.pacs.received == ()


def test_where_nothing_is_found_a_pacs_that_gets_reports_is_told_so(site: Site) -> None:
    (pacs,) = site.settings.destinations
    site.settings = site.settings.model_copy(update={"destinations": (pacs.model_copy(update={"profile": "results"}),)})
    with site.running(FindsBright) as node:
        site.send(node, *IMAGES, DRAWN)
        (sr,) = site.segs()
        until(lambda: site.deliveries()["pacs"].state is DeliveryState.DELIVERED)
    assert (sr.Modality, sr.PreliminaryFlag) == ("SR", "PRELIMINARY")
    assert "All algorithms succeeded; without findings" in str(sr)
    (done,) = site.events("job_done")
    assert ["EMPTY_RESULT" in left for left in done.details["left_out"]] == [True]


def test_a_job_that_ends_its_process_fails_at_last_and_the_node_goes_on(site: Site) -> None:
    with site.running(EndsTheProcess) as node:
        site.send(node, *IMAGES, DRAWN)
        until(lambda: [job.state for job in site.jobs()] == [JobState.FAILED])
        site.send(node, *ct_series(planes=7)[5:])
        site.wait_for_study(StudyState.DISPATCHED, generation=2)
    job = site.jobs()[0]
    ended = "the job ended the process that ran it, with the model 'fills the box' (attempt 3 of 3)"
    assert (job.attempts, job.reason) == (3, ended)


def test_without_a_destination_the_objects_stay_in_the_outbox(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(tmp_path, None)
    caplog.set_level(logging.INFO)
    with site.running() as node:
        site.send(node, *IMAGES, DRAWN)
        until(lambda: site.events("job_done"))
    (file,) = (site.data_dir / "spool" / "outbox").rglob("*.dcm")
    assert dcmread(file).SOPClassUID == SegmentationStorage
    assert "kept_in_outbox" in [getattr(record, "action", "") for record in caplog.records]


def test_a_destination_that_is_not_there_does_not_delay_the_other(tmp_path: Path) -> None:
    gone = Destination(name="gone", ae_title="GONE", host="127.0.0.1", port=1)
    with Loopback(tmp_path / "pacs") as pacs:
        site = Site(tmp_path, pacs, gone)
        with site.running() as node:
            site.send(node, *IMAGES, DRAWN)
            site.segs()
            until(lambda: site.deliveries()["pacs"].state is DeliveryState.DELIVERED)
            until(lambda: site.deliveries()["gone"].attempts and site.deliveries()["gone"].reason)
    row = site.deliveries()["gone"]
    assert row.state is DeliveryState.WAITING
    assert row.reason == "GONE at 127.0.0.1 port 1 did not answer"


def test_what_could_not_be_delivered_is_delivered_once_the_pacs_is_back(tmp_path: Path) -> None:
    with Loopback(tmp_path / "pacs") as pacs:
        site = Site(tmp_path, pacs)
    with site.running() as node:
        site.send(node, *IMAGES, DRAWN)
        until(lambda: site.deliveries() and site.deliveries()["pacs"].reason)
        with Loopback(tmp_path / "pacs again", port=pacs.peer.port) as again:
            (seg,) = again.wait_for(1, timeout=20)
            until(lambda: site.deliveries()["pacs"].state is DeliveryState.DELIVERED)
    assert dcmread(seg).SOPClassUID == SegmentationStorage


def test_a_node_that_is_restarted_goes_on_where_it_stopped(site: Site) -> None:
    with site.running() as node:
        site.send(node, *IMAGES)
    with site.running() as node:
        site.send(node, DRAWN)
        assert len(site.segs()) == 1


def test_what_no_row_knows_is_removed_at_the_start_and_the_rest_stays(site: Site) -> None:
    with site.running() as node:
        site.send(node, *IMAGES)
    spool = Spool(site.data_dir / "spool")
    kept = set(spool.keys())
    spool.put("studies/stranger.dcm", [b"a file whose row was never committed"])
    spool.path("incoming/half.part").write_bytes(b"half a file")
    with site.running():
        assert set(spool.keys()) == kept
        assert list(spool.path("incoming").iterdir()) == []
    assert len(kept) == len(IMAGES)


def test_a_second_node_on_the_same_folder_is_told_of_the_first(site: Site) -> None:
    with (
        site.running(),
        pytest.raises(Unavailable, match=f"another dicomnode runs on {site.data_dir}"),
        site.running(),
    ):
        pass


def test_a_node_that_cannot_listen_leaves_nothing_behind(site: Site) -> None:
    with site.running() as node:
        taken = site.settings.model_copy(
            update={
                "node": NodeTable(data_dir=site.folder / "other"),
                "listener": Listener(host="127.0.0.1", port=node.port),
            }
        )
        with pytest.raises(Unavailable, match="Address already in use"):
            Node(taken, load=FillsTheBox).start()
    free = taken.model_copy(update={"listener": Listener(host="127.0.0.1", port=0)})
    with Node(free, load=FillsTheBox) as again:
        assert again.port
