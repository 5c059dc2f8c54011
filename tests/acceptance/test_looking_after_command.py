"""The installed commands that look after a node, one that runs, and one that was killed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomnode.domain import DeliveryState
from dicomnode.store import deliveries
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.fakes import Loopback
from tests.orthanc import Orthanc
from tests.serving import COMMAND, serving, until
from tests.standing import told


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Loopback]:
    with Loopback(tmp_path / "pacs") as pacs:
        yield pacs


def installed(settings: Path, *arguments: object, expect: int = 0) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON document that the installed command prints."""
    command = [str(COMMAND), *map(str, arguments), "--json", "--config", str(settings)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_node_is_sent_to_and_looked_at_while_it_runs_and_when_it_was_killed(tmp_path: Path, pacs: Loopback) -> None:
    images = ct_series(planes=4)
    drawn = rtstruct(images, {"Smith's liver": [square(10, 8, 20, 16, 2.5 * index) for index in range(4)]})
    save([*images, drawn], tmp_path / "study")
    node = serving(tmp_path, pacs.peer, quiet_seconds=0.2)
    settings = tmp_path / "dicomnode.toml"
    with node.running() as process, node.database() as database:
        assert installed(settings, "echo", f"DICOMNODE@127.0.0.1:{node.port}")["answer"]["accepts"]["C-ECHO"]
        sent = installed(settings, "send", f"DICOMNODE@127.0.0.1:{node.port}", tmp_path / "study")["sent"]
        assert [one["status"] for one in sent] == ["0x0000"] * 5
        pacs.wait_for(1, timeout=30)
        taken = {DeliveryState.DELIVERED, DeliveryState.VERIFIED}
        until(lambda: {one.state for one in deliveries.all_deliveries(database)} <= taken, 30)
        seen = installed(settings, "status", "--check")
        assert (seen["running"], seen["attention"]) == (True, [])
        assert (seen["processes"][0]["pid"], seen["processes"][0]["port"]) == (process.pid, node.port)
        assert (seen["jobs"]["counts"]["done"], seen["studies"]["counts"]["dispatched"]) == (1, 1)
        (job,) = told(settings, "jobs", "list", "--study", STUDY)["jobs"]
        process.kill()
        process.wait(timeout=10)
    shown = told(settings, "jobs", "show", job["key"][:8])
    assert shown["match"]["rule"] == "images"
    assert {"study_dispatched", "job_done"} <= {one["what"] for one in shown["history"]}
    assert Path(shown["objects"][0]["file"]).is_file()
    assert [one["destination"] for one in shown["objects"][0]["deliveries"]] == ["pacs-0"]
    assert [one["what"] for one in told(settings, "status", "--check", expect=1)["attention"]] == ["NODE_DEAD"]


def test_no_heavy_library_is_imported_to_look() -> None:
    heavy = {"dbos", "highdicom", "onnxruntime", "pynetdicom", "SimpleITK", "torch"}
    commands = "dicomnode_cli.status, dicomnode_cli.jobs, dicomnode_cli.deliveries"
    code = f"import sys, {commands}; print(*sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


@pytest.mark.peer
def test_orthanc_says_what_it_takes_and_takes_what_is_sent(tmp_path: Path, orthanc: Orthanc) -> None:
    save(ct_series(planes=2), tmp_path / "study")
    settings = tmp_path / "dicomnode.toml"
    settings.write_text(f'[node]\nae_title = "NODE"\ndata_dir = "{tmp_path / "data"}"\n')
    address = f"ORTHANC@127.0.0.1:{orthanc.peer.port}"
    accepts = told(settings, "echo", address)["answer"]["accepts"]
    assert accepts["C-ECHO"]
    assert accepts["SEG"]
    sent = told(settings, "send", address, tmp_path / "study")["sent"]
    assert [(one["taken"], one["status"]) for one in sent] == [(True, "0x0000")] * 2
    assert len(orthanc.find("CT")) == 2
