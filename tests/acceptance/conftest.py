"""What several files of tests look at or talk to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.orthanc import Orthanc, running
from tests.reading import Told, segment


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    with running(tmp_path / "orthanc") as pacs:
        yield pacs


@pytest.fixture(scope="session")
def everything_of(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Told]:
    """Return what makes all that the command can make of a part of the real data, once for each part."""
    known: dict[str, Told] = {}

    def made_of(part: str) -> Told:
        if part not in known:
            options = ("--profile", "all", "--nifti")
            known[part] = segment(data_dir / part, output=tmp_path_factory.mktemp("everything"), options=options)
            assert known[part].code == 0, known[part].stderr
        return known[part]

    return made_of
