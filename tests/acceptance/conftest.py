from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.orthanc import Orthanc, running


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    with running(tmp_path / "orthanc") as pacs:
        yield pacs
