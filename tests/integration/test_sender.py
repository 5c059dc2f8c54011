import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from pydicom import dcmread
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from pynetdicom import AE, build_context, evt

from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.domain import AssociationEnd, SegSyntax, SegType
from dicomnode.errors import ClassRefused, PeerRejected, PeerUnreachable, Reason, Refused, Unavailable
from dicomnode.network.associations import Peer, associated, calling_entity
from dicomnode.network.part10 import StoreRequest
from dicomnode.network.sender import send, send_all
from dicomnode.network.statuses import check_status
from tests.builders import ct_series, rtstruct, save, square
from tests.conftest import require_program
from tests.fakes import Loopback
from tests.objects import seg_by_highdicom

# pynetdicom leaves a socket to the garbage collector when nobody listens at the other end.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a CT as a file in Explicit VR Little Endian."""
    return save(ct_series(planes=1), tmp_path / "sent")[0]


def loopback(folder: Path, *syntaxes: UID) -> Loopback:
    """Return a PACS that takes CT in `syntaxes` only."""
    return Loopback(folder / "pacs", contexts=[build_context(CTImageStorage, list(syntaxes))])


def answering(status: int) -> Iterator[Peer]:
    """Lend a peer that answers every C-STORE with `status`."""
    ae = AE("PACS")
    ae.add_supported_context(CTImageStorage)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _event: status)])
    assert server is not None
    yield Peer(ae_title="PACS", host="127.0.0.1", port=server.server_address[1])
    server.shutdown()


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    yield from answering(request.param)


def test_a_file_arrives_as_it_is(file: Path, tmp_path: Path) -> None:
    with Loopback(tmp_path / "pacs") as pacs:
        assert send(file, pacs.peer, "NODE") == 0x0000
        (arrived,) = pacs.wait_for(1, timeout=5)
    assert dcmread(arrived) == dcmread(file)
    assert dcmread(arrived).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_each_file_is_sent_in_an_association_that_is_released(file: Path, tmp_path: Path) -> None:
    with Loopback(tmp_path / "pacs") as pacs:
        send(file, pacs.peer, "NODE")
        send(file, pacs.peer, "NODE")
    assert pacs.ended == (AssociationEnd.RELEASED, AssociationEnd.RELEASED)


def test_several_files_go_in_one_association(tmp_path: Path) -> None:
    images = ct_series(planes=3)
    drawn = rtstruct(images, {"liver": [square(10, 8, 20, 16, 2.5)]})
    with Loopback(tmp_path / "pacs") as pacs:
        assert send_all(save([*images, drawn], tmp_path / "sent"), pacs.peer, "NODE") == (0, 0, 0, 0)
    assert [path.stem for path in pacs.received] == [ds.SOPInstanceUID for ds in (*images, drawn)]
    assert pacs.ended == (AssociationEnd.RELEASED,)


def test_a_peer_that_takes_only_implicit_vr_gets_the_object_converted(file: Path, tmp_path: Path) -> None:
    with loopback(tmp_path, ImplicitVRLittleEndian) as pacs:
        assert send(file, pacs.peer, "NODE") == 0x0000
        (arrived,) = pacs.wait_for(1, timeout=5)
    assert dcmread(arrived).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert dcmread(arrived).pixel_array.tobytes() == dcmread(file).pixel_array.tobytes()


def test_a_compressed_object_is_refused_by_a_peer_that_takes_none(file: Path, tmp_path: Path) -> None:
    ds = dcmread(file)
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(tmp_path / "compressed.dcm")
    with loopback(tmp_path, ExplicitVRLittleEndian) as pacs, pytest.raises(Refused, match="RLE Lossless") as refused:
        send(tmp_path / "compressed.dcm", pacs.peer, "NODE")
    assert refused.value.reason is Reason.PEER_REFUSED
    assert pacs.received == ()


EVERY = (SegSyntax.RLE, SegSyntax.DEFLATED, SegSyntax.NATIVE)


@pytest.mark.parametrize(
    ("wanted", "accepted", "arrives"),
    [
        (EVERY, (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless), RLELossless),
        (EVERY[::-1], (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless), ExplicitVRLittleEndian),
        (EVERY, (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian), DeflatedExplicitVRLittleEndian),
        (EVERY, (ImplicitVRLittleEndian, ExplicitVRLittleEndian), ExplicitVRLittleEndian),
        (EVERY, (ImplicitVRLittleEndian,), ImplicitVRLittleEndian),
        ((), (RLELossless, ExplicitVRLittleEndian), ExplicitVRLittleEndian),
    ],
)
def test_an_object_arrives_in_the_first_wanted_syntax_that_is_accepted(
    tmp_path: Path, wanted: tuple[SegSyntax, ...], accepted: tuple[UID, ...], arrives: UID
) -> None:
    seg = seg_by_highdicom(SegType.FRACTIONAL, 7)
    (tmp_path / "seg.dcm").write_bytes(seg.content)
    contexts = [build_context(seg.sop_class_uid, list(accepted))]
    with Loopback(tmp_path / "pacs", contexts=contexts) as pacs:
        assert send(tmp_path / "seg.dcm", pacs.peer, "NODE", wanted, in_syntax) == 0x0000
        (arrived,) = pacs.wait_for(1, timeout=5)
    got, sent = dcmread(arrived), dcmread(tmp_path / "seg.dcm")
    assert got.file_meta.TransferSyntaxUID == arrives
    assert (got.pixel_array == sent.pixel_array).all()
    assert [one.keyword for one in got if one.keyword != "PixelData" and one != sent[one.tag]] == []
    assert len(got) == len(sent)


@pytest.mark.parametrize("peer", [0xB000, 0xB007], indirect=True)
def test_a_warning_means_that_the_object_was_taken(file: Path, peer: Peer) -> None:
    assert send(file, peer, "NODE") in {0xB000, 0xB007}


@pytest.mark.parametrize("peer", [0xA700, 0xA702], indirect=True)
def test_a_peer_without_room_is_tried_again(file: Path, peer: Peer) -> None:
    with pytest.raises(PeerUnreachable, match=r"has no room for object .*: status 0xA70"):
        send(file, peer, "NODE")


@pytest.mark.parametrize("peer", [0x0122], indirect=True)
def test_a_peer_that_answers_that_it_takes_no_such_class_says_so_of_the_class(file: Path, peer: Peer) -> None:
    with pytest.raises(ClassRefused, match="answered status 0x0122: it takes no objects of this class"):
        send(file, peer, "NODE")


@pytest.mark.parametrize("peer", [0xA900, 0xC000, 0x0122], indirect=True)
def test_a_peer_that_does_not_want_the_object_is_not_tried_again(file: Path, peer: Peer) -> None:
    with pytest.raises(Refused, match=r"PACS at 127\.0\.0\.1 port .* answered status") as refused:
        send(file, peer, "NODE")
    assert refused.value.reason is Reason.PEER_REFUSED


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0x0000, None),
        (0xB000, None),
        (0xBFFF, None),
        (0xA700, Unavailable),
        (0xA7FF, Unavailable),
        (0xA6FF, Refused),
        (0xA800, Refused),
        (0xA900, Refused),
        (0xC000, Refused),
        (0xC1FF, Refused),
        (0x0110, Refused),
        (0x0122, Refused),
        (0x0124, Refused),
    ],
)
def test_what_each_status_means(status: int, outcome: type[Exception] | None) -> None:
    if outcome is None:
        check_status(status, "PACS", "object 1.2")
    else:
        with pytest.raises(outcome):
            check_status(status, "PACS", "object 1.2")


def test_a_peer_that_is_not_there_is_tried_again(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(PeerUnreachable, match=f"GONE at 127.0.0.1 port {port} did not answer"):
        send(file, Peer(ae_title="GONE", host="127.0.0.1", port=port), "NODE")


def test_a_peer_that_takes_none_of_the_contexts_is_not_tried_again(file: Path, tmp_path: Path) -> None:
    pacs = Loopback(tmp_path / "pacs", contexts=[build_context("1.2.840.10008.1.1")])
    with pacs, pytest.raises(ClassRefused, match="takes no CT Image Storage") as refused:
        send(file, pacs.peer, "NODE")
    assert refused.value.reason is Reason.PEER_REFUSED


def test_a_peer_that_rejects_for_good_rejects_who_calls_and_not_the_object(file: Path) -> None:
    ae = AE("PACS")
    ae.require_called_aet = True
    ae.add_supported_context(CTImageStorage)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    with pytest.raises(PeerRejected, match="Called AE title not recognised"):
        send(file, Peer(ae_title="OTHER", host="127.0.0.1", port=server.server_address[1]), "NODE")
    server.shutdown()


def test_a_peer_that_is_busy_is_tried_again(file: Path) -> None:
    ae = AE("PACS")
    ae.maximum_associations = 1
    ae.add_supported_context(CTImageStorage)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    peer = Peer(ae_title="PACS", host="127.0.0.1", port=server.server_address[1])
    other = AE("OTHER")
    other.add_requested_context(CTImageStorage)
    first = other.associate(peer.host, peer.port)
    with pytest.raises(PeerUnreachable, match="Local limit exceeded"):
        send(file, peer, "NODE")
    first.release()
    server.shutdown()


def test_a_peer_that_breaks_off_is_tried_again(file: Path) -> None:
    ae = AE("PACS")
    ae.add_supported_context(CTImageStorage)

    def hang_up(event: evt.Event) -> int:
        event.assoc.abort()
        return 0

    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, hang_up)])
    assert server is not None
    with pytest.raises(PeerUnreachable, match="did not answer when object"):
        send(file, Peer(ae_title="PACS", host="127.0.0.1", port=server.server_address[1]), "NODE")
    server.shutdown()


def test_a_loopback_that_has_no_room_answers_so(file: Path, tmp_path: Path) -> None:
    def full(_request: StoreRequest, _data_set: bytes) -> None:
        raise OSError(28, "No space left on device")

    with Loopback(tmp_path / "pacs", refuse=full) as pacs, pytest.raises(PeerUnreachable):
        send(file, pacs.peer, "NODE")
    assert pacs.received == ()


def test_a_file_that_is_not_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("text")
    with pytest.raises(Refused, match=r"text\.dcm: UNREADABLE"):
        send(tmp_path / "text.dcm", Peer(ae_title="PACS", host="127.0.0.1", port=1), "NODE")


@pytest.mark.peer
def test_dcmtk_takes_what_is_sent(file: Path, tmp_path: Path) -> None:
    program = require_program("storescp")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (tmp_path / "storescp").mkdir()
    peer = Peer(ae_title="STORESCP", host="127.0.0.1", port=port)
    with subprocess.Popen([program, "-od", str(tmp_path / "storescp"), "+B", str(port)]) as process:
        try:
            assert _patiently(file, peer) == 0
        finally:
            process.terminate()
    (arrived,) = (tmp_path / "storescp").iterdir()
    assert dcmread(arrived) == dcmread(file)


def _patiently(file: Path, peer: Peer) -> int:
    """Send `file` once `peer` listens."""
    for _ in range(50):
        try:
            return send(file, peer, "NODE")
        except PeerUnreachable:
            time.sleep(0.1)
    return send(file, peer, "NODE")


def test_a_rejection_that_comes_very_quickly_is_one() -> None:
    ae, closed = AE("ANOTHER"), Event()
    ae.require_called_aet = True
    ae.add_supported_context("1.2.840.10008.1.1")
    asking = calling_entity("NODE")
    asking.add_requested_context("1.2.840.10008.1.1")
    server = ae.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    peer = Peer(ae_title="PACS", host="127.0.0.1", port=server.server_address[1])
    handlers = [(evt.EVT_REQUESTED, lambda _: closed.wait(10)), (evt.EVT_CONN_CLOSE, lambda _: closed.set())]
    with pytest.raises(PeerRejected, match="it is not called PACS"), associated(asking, peer, handlers=handlers):
        pass
    server.shutdown()
