from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicomnode.domain import FetchState, Uid
from dicomnode.network.sender import send_all
from dicomnode.store import fetches
from tests.builders import STUDY, ct_series, rtstruct, save, square
from tests.orthanc import Orthanc, dicomweb_plugin, running
from tests.serving import Serving, serving, until

pytestmark = pytest.mark.peer

IMAGES = ct_series()
DRAWN = rtstruct(IMAGES, {"liver": [square(10, 8, 20, 16, 2.5), square(10, 8, 20, 16, 5.0)]})


@contextmanager
def site(folder: Path, *, retrieve: str) -> Iterator[tuple[Serving, Orthanc]]:
    """Lend the settings of a node, and an Orthanc that is its source and its destination."""
    node = serving(folder, quiet_seconds=0.3)
    with running(folder / "orthanc", node.peer, plugins=[dicomweb_plugin()]) as pacs:
        where = [f'ae_title = "{pacs.peer.ae_title}"', f'host = "{pacs.peer.host}"', f"port = {pacs.peer.port}"]
        how = [*where, f'retrieve = "{retrieve}"']
        if retrieve == "dicomweb":
            how = ['kind = "dicomweb"', f'url = "{pacs.url}/dicom-web/"']
        tables = ["", "[[destinations]]", 'name = "pacs"', *where, "[[sources]]", 'name = "archive"', *how]
        tables += ["[[pulls]]", 'name = "yearly"', 'source = "archive"', 'cron = "0 0 1 1 *"']
        with (node.folder / "dicomnode.toml").open("a") as settings:
            settings.write("\n".join(tables))
        yield node, pacs


def upload(pacs: Orthanc, objects: Sequence[Dataset], folder: Path) -> None:
    for path in save(objects, folder):
        pacs.upload(path.read_bytes())


@pytest.mark.parametrize("retrieve", ["c-get", "c-move", "dicomweb"])
def test_the_images_that_an_annotation_lacks_come_from_the_pacs_and_are_segmented_once(
    tmp_path: Path, retrieve: str
) -> None:
    with site(tmp_path, retrieve=retrieve) as (node, pacs):
        upload(pacs, IMAGES, tmp_path / "images")
        with node.running():
            send_all(save([DRAWN], tmp_path / "drawn"), node.peer, "PLANNING")
            until(pacs.segs, 30)
            with node.database() as database:
                (fetch,) = fetches.fetches_of(database, Uid(STUDY))
        (seg,) = pacs.segs()
        ds = dcmread(BytesIO(pacs.file(seg["ID"])))
    assert (fetch.state, fetch.found, fetch.kept) == (FetchState.DONE, len(IMAGES), len(IMAGES))
    assert {series.SeriesInstanceUID for series in ds.ReferencedSeriesSequence} == {IMAGES[0].SeriesInstanceUID}
