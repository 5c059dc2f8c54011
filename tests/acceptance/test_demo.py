"""`dicomnode demo` as a user runs it: a SEG comes back over DICOM and agrees with the phantom's truth."""

import os
import re
import subprocess
import sys
from pathlib import Path


def test_the_demo_gets_its_segmentation_back_and_says_where_everything_lies(tmp_path: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "dicomnode", "demo", "--output", "shown"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "shown" / "pacs").glob("*.dcm"))) == 1
    assert (tmp_path / "shown" / "montage.png").read_bytes().startswith(b"\x89PNG")
    agreements = {
        name: float(dice) for name, dice in re.findall(r"^ *(\w+) +(0\.\d{3}) +\d+ +0 *$", done.stdout, re.MULTILINE)
    }
    assert set(agreements) == {"Liver", "Kidney_L", "Kidney_R", "Spleen", "Aorta", "GTV_1"}
    assert min(agreements.values()) >= 0.90
    assert "Traceback" not in done.stderr
