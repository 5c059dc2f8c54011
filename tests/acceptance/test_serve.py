import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import SegmentationStorage

from dicomnode.domain import DeliveryState, JobState, Uid
from dicomnode.network.sender import send_all
from dicomnode.store import arrivals, deliveries, jobs
from dicomnode.store.events import events
from dicomnode.store.spool import Spool
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.fakes import Loopback
from tests.serving import COMMAND, Serving, serving, until


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    """Return a study as files: images first, the RTSTRUCT last."""
    images = ct_series(planes=8)
    drawn = rtstruct(images, {"liver": [square(10, 8, 20, 16, 2.5 * index) for index in range(1, 7)]})
    return save([*images, drawn], tmp_path / "study")


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Loopback]:
    with Loopback(tmp_path / "pacs") as pacs:
        yield pacs


@pytest.fixture
def node(tmp_path: Path, pacs: Loopback) -> Serving:
    return serving(tmp_path, pacs.peer, quiet_seconds=0.5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_shuts_down_cleanly(node: Serving, number: signal.Signals) -> None:
    with node.running() as process:
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
    assert node.log.count("node_stopped") == 1
    assert "ERROR" not in node.log


def test_a_shutdown_in_the_middle_loses_nothing(node: Serving, pacs: Loopback, study: list[Path]) -> None:
    with node.running() as process:
        send_all(study, node.peer, "SENDER")
        process.terminate()
        assert process.wait(timeout=30) == 0
    with node.running():
        assert len(pacs.wait_for(1, timeout=30)) == 1


def test_a_second_node_on_the_same_folder_says_so_and_ends(node: Serving, tmp_path: Path) -> None:
    with node.running():
        second = subprocess.run(
            [COMMAND, "serve", "--config", tmp_path / "dicomnode.toml"],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert second.returncode == 1
    assert "another dicomnode runs on" in " ".join(second.stderr.split())


@pytest.mark.parametrize("seconds", [0.0, 0.6, 1.0, 1.4, 1.8])
def test_a_node_that_is_killed_loses_nothing_it_acknowledged(
    node: Serving, pacs: Loopback, study: list[Path], seconds: float
) -> None:
    with node.running() as process:
        send_all(study, node.peer, "SENDER")
        time.sleep(seconds)
        process.kill()
        process.wait(timeout=10)
    with node.running(), node.database() as database:
        until(lambda: _states(node) == ({JobState.DONE}, {DeliveryState.DELIVERED}), 30)
        kept = arrivals.instances_of(database, Spool(node.folder / "data" / "spool"), Uid(STUDY))
        assert len(events(database, "job_done")) == 1
    assert {instance.sop_instance_uid for instance in kept} == {path.stem for path in study}
    assert all(
        dcmread(instance.path) == dcmread(node.folder / "study" / _name(instance.sop_instance_uid)) for instance in kept
    )
    assert len(set(pacs.received)) == 1
    assert dcmread(pacs.received[0]).SOPClassUID == SegmentationStorage


def test_what_was_sent_only_in_part_is_completed_after_a_kill(node: Serving, pacs: Loopback, study: list[Path]) -> None:
    with node.running() as process:
        send_all(study[:4], node.peer, "SENDER")
        process.kill()
        process.wait(timeout=10)
    with node.running():
        send_all(study[4:], node.peer, "SENDER")
        assert len(pacs.wait_for(1, timeout=30)) == 1


def test_the_child_of_a_killed_node_does_not_hold_its_folder(node: Serving) -> None:
    for _ in range(3):
        with node.running() as process:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(timeout=10)
    assert node.log.count("node_started") == 3


def _name(uid: str) -> str:
    return f"{uid}.dcm"


def _states(node: Serving) -> tuple[set[JobState], set[DeliveryState]]:
    with node.database() as database:
        return (
            {job.state for job in jobs.all_jobs(database)},
            {delivery.state for delivery in deliveries.all_deliveries(database)},
        )
