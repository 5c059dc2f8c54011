"""A destination that is a folder."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.domain import SEG_ONLY, DeliveryState, ProvenBy, SegSyntax, SegType, SopReference, Uid
from dicomnode.errors import PeerUnreachable
from dicomnode.network.destinations import Parcel
from dicomnode.network.folder import FolderDestination
from dicomnode.store import deliveries
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.spool import Spool
from tests.builders import STUDY
from tests.couriers import courier_of, serve_all
from tests.disks import room_for
from tests.objects import hand_over, seg_by_highdicom

CONTENT = seg_by_highdicom(SegType.BINARY, 12).content
PLACE = f"{STUDY}/2.25.121/2.25.12.dcm"


@pytest.fixture
def to(tmp_path: Path) -> FolderDestination:
    (tmp_path / "results").mkdir()
    return FolderDestination(path=tmp_path / "results", encode=in_syntax)


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    (tmp_path / "made.dcm").write_bytes(CONTENT)
    return Parcel(path=tmp_path / "made.dcm", named=SopReference(Uid("1.2"), Uid("2.25.12")))


def files(to: FolderDestination) -> dict[str, bytes]:
    found = (path for path in to.path.rglob("*") if path.is_file())
    return {str(path.relative_to(to.path)): path.read_bytes() for path in found}


def test_an_object_is_a_file_by_study_and_series_and_is_verified_by_reading_it_back(
    to: FolderDestination, database: Database, spool: Spool
) -> None:
    desk = Desk(database=database, spool=spool, destinations={"pacs": SEG_ONLY})
    made = seg_by_highdicom(SegType.BINARY, 12)
    hand_over(desk, made)
    serve_all(courier_of(desk, pacs=to))
    assert files(to) == {PLACE: made.content}
    (row,) = deliveries.all_deliveries(database)
    assert (row.state, row.proof) == (DeliveryState.VERIFIED, ProvenBy.CONTENT)


def test_a_file_is_in_the_first_wanted_syntax(to: FolderDestination, parcel: Parcel) -> None:
    deflated = Parcel(path=parcel.path, named=parcel.named, syntaxes=(SegSyntax.DEFLATED, SegSyntax.NATIVE))
    to.send(deflated)
    assert dcmread(BytesIO(files(to)[PLACE])).file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert to.keeps(deflated)


def test_a_file_that_is_another_or_gone_proves_nothing(to: FolderDestination, parcel: Parcel) -> None:
    assert not to.keeps(parcel)
    to.send(parcel)
    (to.path / PLACE).write_bytes(CONTENT[:-1])
    assert not to.keeps(parcel)
    to.send(parcel)
    assert to.keeps(parcel)


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path, parcel: Parcel) -> None:
    to = FolderDestination(path=tmp_path / "not mounted", encode=in_syntax)
    for ask in (lambda: to.send(parcel), lambda: to.keeps(parcel), to.probe):
        with pytest.raises(PeerUnreachable, match="not mounted is not there"):
            ask()
    assert not to.path.exists()


def test_a_full_disk_leaves_nothing_and_is_tried_again(to: FolderDestination, parcel: Parcel) -> None:
    with room_for(100), pytest.raises(PeerUnreachable, match="cannot be used: File too large"):
        to.send(parcel)
    assert files(to) == {}
    to.probe()
    assert to.send(parcel) == 0
