"""Jobs of a whole node while they run: cancelled, tried again, side by side, and over the node's death."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom.uid import UID

from dicomnode.domain import JobState
from dicomnode.network.associations import Peer
from dicomnode.network.sender import send_all
from dicomnode.node import Node
from dicomnode.settings import Jobs, Listener, Readiness, Settings
from dicomnode.settings import Node as NodeTable
from dicomnode.store import jobs, nodes
from dicomnode.store.database import Database
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import WaitsAtTheGate
from tests.serving import free_port, until

IMAGES = ct_series()
DRAWN = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5)]})

NODE = """
import sys
from pathlib import Path
from tests.integration.test_running_jobs import settings_of
from tests.fakes import WaitsAtTheGate
from dicomnode.node import Node

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with Node(settings_of(folder, port=int(sys.argv[2])), load=WaitsAtTheGate(folder=folder)) as node:
        print("up", flush=True)
        node.broken.wait()
"""


def settings_of(folder: Path, *, port: int = 0, concurrency: int = 1) -> Settings:
    return Settings(
        node=NodeTable(data_dir=folder / "data"),
        listener=Listener(host="127.0.0.1", port=port),
        readiness=Readiness(quiet_seconds=0.1),
        jobs=Jobs(concurrency=concurrency),
    )


def send(port: int, folder: Path, *annotations: object) -> None:
    paths = save([*IMAGES, *annotations], folder / "sent")  # type: ignore[list-item]
    send_all(paths, Peer(ae_title="DICOMNODE", host="127.0.0.1", port=port), "SENDER")


@pytest.fixture
def model(tmp_path: Path) -> WaitsAtTheGate:
    return WaitsAtTheGate(folder=tmp_path)


def database_of(folder: Path) -> Database:
    return Database(folder / "data" / "dicomnode.sqlite")


def states(database: Database) -> list[tuple[JobState, int]]:
    return [(job.state, job.attempts) for job in jobs.all_jobs(database)]


def outbox(folder: Path) -> list[Path]:
    return list((folder / "data" / "spool" / "outbox").rglob("*.dcm"))


def test_a_job_that_another_process_cancels_is_ended_and_runs_anew_when_it_is_requeued(
    tmp_path: Path, model: WaitsAtTheGate
) -> None:
    with Node(settings_of(tmp_path), load=model) as node:
        send(node.port, tmp_path, DRAWN)
        (first,) = until(lambda: model.waiting, 20)
        database = database_of(tmp_path)
        (job,) = jobs.all_jobs(database)
        jobs.cancel(database, job.key, "somebody")
        until(lambda: not Path(f"/proc/{first}").exists(), 20)
        assert states(database) == [(JobState.CANCELLED, 1)]
        jobs.requeue(database, job.key, "somebody")
        until(lambda: len(model.waiting) == 2, 20)
        model.let_go()
        until(lambda: states(database) == [(JobState.DONE, 1)], 20)
        assert not node.broken.is_set()
        database.close()
    assert len(outbox(tmp_path)) == 1


def test_as_many_jobs_run_side_by_side_as_the_settings_say_and_the_node_is_seen(
    tmp_path: Path, model: WaitsAtTheGate
) -> None:
    other = rtstruct(IMAGES, {"kidney": [square(10, 8, 20, 16, 2.5)]})
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = UID(f"{DRAWN.SOPInstanceUID}.1")
    with Node(settings_of(tmp_path, concurrency=2), load=model) as node:
        send(node.port, tmp_path, DRAWN, other)
        until(lambda: len(model.waiting) == 2, 20)
        database = database_of(tmp_path)
        assert states(database) == [(JobState.RUNNING, 1)] * 2
        (seen,) = nodes.all_nodes(database)
        assert (seen.facts["pid"], seen.facts["port"]) == (os.getpid(), node.port)
        model.let_go()
        until(lambda: states(database) == [(JobState.DONE, 1)] * 2, 20)
    assert nodes.all_nodes(database) == ()
    database.close()
    assert len(outbox(tmp_path)) == 2


def test_a_job_over_whose_running_the_node_was_killed_gives_one_result_and_lost_no_attempt(
    tmp_path: Path, model: WaitsAtTheGate
) -> None:
    script, port = tmp_path / "node.py", free_port()
    script.write_text(NODE)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script), str(tmp_path), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline()
        send(port, tmp_path, DRAWN)
        until(lambda: model.waiting, 20)
        killed.send_signal(signal.SIGKILL)
    database = database_of(tmp_path)
    assert states(database) == [(JobState.RUNNING, 1)]
    assert len(nodes.all_nodes(database)) == 1
    model.let_go()
    with Node(settings_of(tmp_path), load=model):
        until(lambda: states(database) == [(JobState.DONE, 1)], 20)
    database.close()
    assert len(outbox(tmp_path)) == 1
