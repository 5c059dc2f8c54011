"""Kill the node where it hurts, and where it is by chance; `make crash` does more of the latter."""

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage
from pynetdicom import AE, build_context, evt

from dicomnode.network.loopback_services import finding, kept_in
from dicomnode.network.part10 import StoreRequest
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.crash import checks
from tests.crash.modality import data_set_of
from tests.crash.power import Power
from tests.crash.scenario import Asked, crash
from tests.crash.served import Served
from tests.fakes import Loopback
from tests.serving import until

ENDS = ("verified",)
QUIET_SECONDS = 1.0
SYNTAX = ExplicitVRLittleEndian


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    """Return a study as files: images of 512 KiB first, the RTSTRUCT last."""
    images = ct_series(planes=4, shape=(512, 512))
    drawn = rtstruct(images, {"liver": [square(140, 140, 240, 240, 2.5 * index) for index in range(1, 4)]})
    return save([*images, drawn], tmp_path / "study")


@pytest.mark.peer
def test_a_node_that_is_killed_and_loses_its_power_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    asked = Asked(
        studies=5,
        senders=2,
        kills=5,
        cuts=2,
        pacs_stops=1,
        seed=7,
        planes=6,
        between_kills=0.7,
        quiet_seconds=QUIET_SECONDS,
        deliveries=ENDS,
        patience=90,
    )
    report = crash(tmp_path, asked)
    assert report.findings == []
    assert report.counts["objects acknowledged"] > 5 * 6


def test_a_node_that_is_killed_at_any_step_of_storing_has_what_it_acknowledged(
    tmp_path: Path, study: list[Path]
) -> None:
    with finding_pacs(tmp_path / "pacs") as pacs, serving(tmp_path, pacs) as node:
        power = Power(node.data.parent, tmp_path)
        series = f"{STUDY}/{STUDY}.2"
        for flushed in (".dcm", series):  # killed when the file, and when its name was durable, before the index row
            node.environment = {**power.environment, "FORGETFUL_KILL": flushed}
            node.start()
            assert node.waits("node_started", 60)
            assert set(store(study, node)) == {None}
            assert node.process.wait(10) == -signal.SIGKILL
        node.environment = power.environment
        node.start()
        assert node.waits("node_started", 60)
        # the request for the association, a command, and two of five PDUs of a data set
        assert set(store(study, node, kill_at=4)) == {None}
        power.cut()
        node.start()
        assert node.waits("node_started", 60)
        assert store(study, node) == [0] * len(study)
        assert len(the_segs_of(node, pacs)) == 1
    assert findings(node, study) == []


def test_a_node_that_is_killed_while_it_segments_and_while_it_recovers_makes_one_seg(
    tmp_path: Path, study: list[Path]
) -> None:
    with finding_pacs(tmp_path / "pacs") as pacs, serving(tmp_path, pacs) as node:
        node.start()
        assert node.waits("node_started", 60)
        for child in children_of(node.process.pid):
            os.kill(child, signal.SIGSTOP)  # the job begins, and does not end
        assert store(study, node) == [0] * len(study)
        until(lambda: checks.Kept(data=node.data).rows("SELECT * FROM job WHERE state = 'running'"), 60)
        node.kill(group=True)
        node.start()
        assert node.waits("recovered", 60)
        node.kill(group=True)
        node.start()
        assert len(the_segs_of(node, pacs)) == 1
    assert findings(node, study) == []


def test_a_node_that_is_killed_between_sending_and_recording_it_sends_the_same_object_again(
    tmp_path: Path, study: list[Path]
) -> None:
    seen: list[StoreRequest] = []

    def kill_at_first(request: StoreRequest, _data_set: bytes) -> None:
        if not seen:
            node.kill(group=True)
        seen.append(request)

    with finding_pacs(tmp_path / "pacs", kill_at_first) as pacs, serving(tmp_path, pacs) as node:
        node.start()
        assert node.waits("node_started", 60)
        assert store(study, node) == [0] * len(study)
        until(lambda: pacs.received, 60)
        first = pacs.received[0].read_bytes()
        node.start()
        (seg,) = the_segs_of(node, pacs)
    assert len(seen) == 2
    assert seg.read_bytes() == first
    assert findings(node, study) == []


def finding_pacs(folder: Path, refuse: Callable[[StoreRequest, bytes], None] | None = None) -> Loopback:
    """Return a PACS that tells what it has."""
    return Loopback(folder, refuse=refuse, services=[finding(kept_in(folder))])


def serving(folder: Path, pacs: Loopback) -> Served:
    """Make a node that sends what it makes to `pacs`."""
    node = Served(folder=folder)
    node.prepare(pacs.peer, quiet_seconds=0.5, incomplete_seconds=600)
    return node


def store(paths: list[Path], node: Served, *, kill_at: int = 0) -> list[int | None]:
    """Send the objects in one association; return the answers. The node is killed when so many PDUs have gone out."""
    sent: list[evt.Event] = []

    def count(event: evt.Event) -> None:
        sent.append(event)
        if len(sent) == kill_at:
            node.kill(group=True)

    ae = AE("SENDER")
    ae.dimse_timeout = 5  # after it was killed, nobody answers
    ae.requested_contexts = [build_context(CTImageStorage, SYNTAX), build_context(RTStructureSetStorage, SYNTAX)]
    assoc = ae.associate("127.0.0.1", node.port, ae_title="DICOMNODE", evt_handlers=[(evt.EVT_DATA_SENT, count)])
    transport = assoc.dul.socket
    assert transport is not None
    assert transport.socket is not None
    with transport.socket:  # pynetdicom leaves one open that the other side has closed
        answers: list[int | None] = []
        while assoc.is_established and len(answers) < len(paths):
            answers.append(assoc.send_c_store(paths[len(answers)]).get("Status"))
        assoc.release()
    return answers


def the_segs_of(node: Served, pacs: Loopback) -> set[Path]:
    """Let the node finish, and stop it; return the files at the PACS."""
    kept = checks.Kept(data=node.data)
    until(lambda: not checks.left_of(kept, ENDS, 1), 60)
    node.stop()
    return {*pacs.received}


def findings(node: Served, study: list[Path]) -> list[str]:
    """Return what the checks have to say when all of `study` was acknowledged."""
    kept = checks.Kept(data=node.data)
    sent = {path.stem: hashlib.sha256(data_set_of(path.read_bytes())).hexdigest() for path in study}
    found = [*checks.what_is_lost(kept, sent), *checks.what_is_left_over(kept), *checks.what_is_not_done(kept, ENDS)]
    return [*found, *checks.what_the_log_tells(node.log.read_text())]


def children_of(pid: int) -> list[int]:
    """Return the processes that the process has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
