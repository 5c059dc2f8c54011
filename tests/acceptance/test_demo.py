"""`dicomnode demo` as a user runs it: a SEG comes back over DICOM and agrees with the phantom's truth."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DICOMNODE = Path(sys.executable).parent / "dicomnode"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def shown(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DICOMNODE, "demo", "--output", "shown"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200"},
    )


def test_the_demo_gets_its_segmentation_back_and_says_where_everything_lies(
    folder: Path, shown: subprocess.CompletedProcess[str]
) -> None:
    assert shown.returncode == 0, shown.stderr
    assert len(list((folder / "shown" / "pacs").glob("*.dcm"))) == 1
    assert (folder / "shown" / "montage.png").read_bytes().startswith(b"\x89PNG")
    rows = re.findall(r"^ *(\w+) +(0\.\d{3}) +\d+ +0 *$", shown.stdout, re.MULTILINE)
    agreements = {name: float(dice) for name, dice in rows}
    assert set(agreements) == {"Liver", "Kidney_L", "Kidney_R", "Spleen", "Aorta", "GTV_1"}
    assert min(agreements.values()) >= 0.90
    assert "Traceback" not in shown.stderr


@pytest.mark.usefixtures("shown")
def test_the_node_and_a_folder_give_the_same_bytes(folder: Path) -> None:
    command: list[str | Path] = [DICOMNODE, "segment", "shown/study", "--output", "again"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    (by_folder,) = (folder / "again").rglob("*_SEG.dcm")
    (by_node,) = (folder / "shown" / "node" / "spool" / "outbox").rglob("*.dcm")
    assert by_folder.read_bytes() == by_node.read_bytes()
