"""QIDO-RS and WADO-RS against a small web server that says what a test wants."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from pydicom.uid import CTImageStorage, JPEG2000Lossless

from dicomnode.domain import AssociationEnd, Uid
from dicomnode.errors import DicomNodeError, PeerUnreachable, Refused, SettingsError, Unavailable
from dicomnode.network.part10 import StoreRequest, header_of
from dicomnode.network.portions import Portion, Recipient
from dicomnode.network.storing import Chunk, Intake
from dicomnode.network.web import WebPeer, retrieve, search

CT = str(CTImageStorage)


@dataclass
class Answer:
    """What the server says: to everything, or to each path."""

    status: int = 200
    kind: str = "application/dicom+json"
    content: bytes = b"[]"
    pause: float = 0.0
    cut: int = 0  # so many bytes of what was announced do not come
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    answer: ClassVar[Answer]

    def do_GET(self) -> None:
        said = self.answer
        said.asked.append((self.path, self.headers.get("Accept"), self.headers.get("Authorization")))
        time.sleep(said.pause)
        self.send_response(said.status)
        self.send_header("Content-Type", said.kind)
        self.send_header("Content-Length", str(len(said.content) + said.cut))
        with suppress(ConnectionError):  # of a client that did not wait
            self.end_headers()
            self.wfile.write(said.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answer() -> Answer:
    return Answer()


@pytest.fixture
def peer(answer: Answer) -> Iterator[WebPeer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"answer": answer}))
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield WebPeer(url=f"http://127.0.0.1:{server.server_address[1]}/dicom-web/")
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Kept:
    """What was retrieved, and how it ended."""

    objects: dict[Uid, tuple[StoreRequest, bytes]] = field(default_factory=dict)
    ended: list[AssociationEnd] = field(default_factory=list)

    def recipient(self) -> Recipient:
        return Recipient(
            opened=lambda _: 7, closed=lambda _, ended: self.ended.append(ended), intake=Intake(receive=self.receive)
        )

    def receive(self, request: StoreRequest, data_set: Iterable[Chunk]) -> None:
        self.objects[request.sop_instance_uid] = (request, b"".join(data_set))


def retrieved(peer: WebPeer, *uids: str, whole: bool = True) -> Kept:
    kept = Kept()
    objects = {Uid(uid): CT for uid in uids or ("1.3",)}
    portion = Portion(study_uid=Uid("1.1"), series_uid=Uid("1.2"), objects=objects, whole=whole)
    retrieve(peer, "archive", [portion], kept.recipient(), lambda: None)
    return kept


def file(uid: str, data_set: bytes, syntax: str = JPEG2000Lossless) -> bytes:
    named = StoreRequest(
        sop_class_uid=Uid(CT),
        sop_instance_uid=Uid(uid),
        transfer_syntax_uid=Uid(syntax),
        peer_ae="",
        association_id=0,
    )
    return header_of(named) + data_set


def multipart(*files: bytes) -> bytes:
    parts = [b"--edge\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in files]
    return b"".join(parts) + b"--edge--\r\n"


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, Refused, "HTTP status 401: it does not know who calls"),
        (403, Refused, "HTTP status 403: it does not let this node"),
        (404, Refused, "HTTP status 404: it is not there"),
        (400, Refused, "HTTP status 400"),
        (499, Refused, "HTTP status 499"),
        (408, PeerUnreachable, "cannot answer now: HTTP status 408"),
        (429, PeerUnreachable, "cannot answer now: HTTP status 429"),
        (500, PeerUnreachable, "cannot answer now: HTTP status 500"),
        (503, PeerUnreachable, "cannot answer now: HTTP status 503"),
    ],
)
def test_a_status_says_whether_to_try_again(
    peer: WebPeer, answer: Answer, status: int, error: type[DicomNodeError], words: str
) -> None:
    answer.status = status
    with pytest.raises(error, match=words):
        search(peer, "STUDY", {"StudyInstanceUID": ""})
    with pytest.raises(error, match=words):
        retrieved(peer)
    assert len(answer.asked) == 2  # the library does not try again by itself


def test_a_server_that_is_slow_or_away_is_unavailable(peer: WebPeer, answer: Answer) -> None:
    answer.pause = 0.4
    with pytest.raises(PeerUnreachable, match="did not answer, or broke off: ReadTimeout"):
        search(peer, "STUDY", {"StudyInstanceUID": ""}, seconds=0.1)
    with pytest.raises(PeerUnreachable, match="ConnectionError"):
        search(WebPeer(url="http://127.0.0.1:1"), "STUDY", {"StudyInstanceUID": ""})


@pytest.mark.parametrize("content", [b"<html>", b'[{"no": '])
def test_an_answer_that_is_no_json_is_refused(peer: WebPeer, answer: Answer, content: bytes) -> None:
    answer.content = content
    with pytest.raises(Refused, match="its answer is not understood: JSONDecodeError"):
        search(peer, "STUDY", {"StudyInstanceUID": ""})


def test_values_of_all_kinds_become_text(peer: WebPeer, answer: Answer) -> None:
    answer.content = json.dumps(
        [
            {
                "0020000D": {"vr": "UI", "Value": ["1.1"]},
                "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]},
                "00080061": {"vr": "CS", "Value": ["CT", "PR"]},
                "00201208": {"vr": "IS", "Value": [6]},
                "00080050": {"vr": "SH"},
            }
        ]
    ).encode()
    keys = ("StudyInstanceUID", "PatientName", "ModalitiesInStudy", "NumberOfStudyRelatedInstances", "AccessionNumber")
    (found,) = search(peer, "STUDY", dict.fromkeys(keys, ""))
    assert list(found.values()) == ["1.1", "A^B", "CT\\PR", "6", ""]


def test_what_is_asked_for_stands_in_path_and_query(peer: WebPeer, answer: Answer) -> None:
    search(peer, "SERIES", {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "", "SeriesDescription": "a*"})
    search(peer, "IMAGE", {"StudyInstanceUID": "1.1", "SeriesInstanceUID": "1.2", "SOPInstanceUID": ""})
    search(peer, "IMAGE", {"StudyInstanceUID": "", "SeriesInstanceUID": "", "SOPInstanceUID": "1.3\\1.4"})
    paths = [path for path, _, _ in answer.asked]
    assert paths[0].startswith("/dicom-web/studies/1.1/series?")
    assert "SeriesDescription=a*" in paths[0]
    assert paths[1].startswith("/dicom-web/studies/1.1/series/1.2/instances?")
    assert paths[2].startswith("/dicom-web/instances?")
    assert "SOPInstanceUID=1.3,1.4" in paths[2]


def test_a_word_that_is_no_keyword_is_a_mistake_of_who_asks(peer: WebPeer) -> None:
    with pytest.raises(SettingsError, match="'PatientsName' is no DICOM keyword"):
        search(peer, "STUDY", {"PatientsName": "A"})


def test_the_data_set_of_each_part_is_kept_byte_for_byte(peer: WebPeer, answer: Answer) -> None:
    sets = {"1.3": b"one\r\n--edg\r\ntwo\r\n\r\n", "1.4": bytes(range(256)) * 20}
    answer.kind = 'multipart/related; type="application/dicom"; boundary="edge"'
    answer.content = multipart(*(file(uid, content) for uid, content in sets.items()))
    kept = retrieved(peer, *sets)
    assert {uid: content for uid, (_, content) in kept.objects.items()} == sets
    (request, _) = kept.objects[Uid("1.3")]
    assert (request.transfer_syntax_uid, request.peer_ae, request.association_id) == (
        str(JPEG2000Lossless),
        "archive",
        7,
    )
    assert kept.ended == [AssociationEnd.RELEASED]
    (asked,) = answer.asked
    assert asked[:2] == (
        "/dicom-web/studies/1.1/series/1.2",
        'multipart/related; type="application/dicom"; transfer-syntax=*',
    )


def test_a_file_that_is_not_wrapped_is_taken_too(peer: WebPeer, answer: Answer) -> None:
    answer.kind, answer.content = "application/dicom", file("1.3", b"data")
    assert retrieved(peer, whole=False).objects[Uid("1.3")][1] == b"data"
    assert answer.asked[0][0] == "/dicom-web/studies/1.1/series/1.2/instances/1.3"


def test_a_part_that_is_no_dicom_file_is_passed_over(peer: WebPeer, answer: Answer) -> None:
    answer.kind = "multipart/related; boundary=edge"
    answer.content = multipart(b"nothing", file("1.3", b"data"), b"\0" * 128 + b"DICM\x02\x00")
    assert list(retrieved(peer).objects) == ["1.3"]


def test_an_answer_that_is_cut_off_is_unavailable_and_its_association_lost(peer: WebPeer, answer: Answer) -> None:
    answer.kind, answer.cut = "multipart/related; boundary=edge", 100
    answer.content = multipart(file("1.3", b"data"))
    kept = Kept()
    portion = Portion(study_uid=Uid("1.1"), series_uid=Uid("1.2"), objects={Uid("1.3"): CT}, whole=True)
    with pytest.raises(PeerUnreachable, match="broke off"):
        retrieve(peer, "archive", [portion], kept.recipient(), lambda: None)
    assert kept.ended == [AssociationEnd.LOST]


def test_the_file_of_the_authorization_is_read_each_time(peer: WebPeer, answer: Answer, tmp_path: Path) -> None:
    secret = WebPeer(url=peer.url, authorization_file=tmp_path / "secret")
    with pytest.raises(Unavailable, match="secret cannot be read: No such file"):
        search(secret, "STUDY", {"StudyInstanceUID": ""})
    for words in ("Bearer one", "Bearer two"):
        (tmp_path / "secret").write_text(f"{words}\nmore")
        search(secret, "STUDY", {"StudyInstanceUID": ""})
    assert [sent for _, _, sent in answer.asked] == ["Bearer one", "Bearer two"]
