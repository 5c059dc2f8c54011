"""`dicomnode conformance` prints what docs/conformance.md says."""

import subprocess
import sys
from pathlib import Path

DICOMNODE = Path(sys.executable).parent / "dicomnode"
PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_the_shipped_statement_is_what_the_command_prints(tmp_path: Path) -> None:
    printed = subprocess.run(
        [DICOMNODE, "conformance"], cwd=tmp_path, check=True, capture_output=True, text=True, timeout=120
    )
    assert printed.stderr == ""
    assert printed.stdout == PAGE.read_text(encoding="utf-8"), "the code has changed: `make conformance`, and read it"
