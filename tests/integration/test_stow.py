"""What a DICOMweb service answers to STOW-RS and QIDO-RS, and what becomes of the object."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.domain import ProvenBy, SegSyntax, SegType, SopReference, Uid
from dicomnode.errors import ClassRefused, PeerRejected, PeerUnreachable, Refused, Unavailable
from dicomnode.network.batch import deliver_each, outgoing
from dicomnode.network.destinations import Parcel, Transaction
from dicomnode.network.stow import StowDestination
from dicomnode.network.web import WebPeer
from tests.objects import seg_by_highdicom
from tests.serving import free_port

SEG_CLASS, UID = "1.2.840.10008.5.1.4.1.1.66.4", "2.25.12"


@dataclass
class Service:
    """An HTTP service that answers what it is told, the last answer again and again, and notes what it was sent."""

    url: str = ""
    answers: list[tuple[int, object]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    def next(self) -> tuple[int, object]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            service.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.do_GET()

        def do_GET(self) -> None:
            service.paths.append(self.path)
            service.headers.append(dict(self.headers))
            code, answer = service.next()
            body = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}/web"
    yield service
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    path = tmp_path / f"{UID}.dcm"
    path.write_bytes(seg_by_highdicom(SegType.BINARY, 12).content)
    return Parcel(path=path, named=SopReference(Uid(SEG_CLASS), Uid(UID)), syntaxes=(SegSyntax.NATIVE,))


def to(url: str, **more: Any) -> StowDestination:  # noqa: ANN401 - fields of WebPeer
    return StowDestination(peer=WebPeer(url=url, **more), encode=in_syntax)


def said(failed: int | None = None, warned: int | None = None) -> object:
    """Return the body of an answer on the object (PS3.18 10.5.3)."""
    item: dict[str, object] = {
        "00081150": {"vr": "UI", "Value": [SEG_CLASS]},
        "00081155": {"vr": "UI", "Value": [UID]},
    }
    if failed is not None:
        return {"00081198": {"vr": "SQ", "Value": [item | {"00081197": {"vr": "US", "Value": [failed]}}]}}
    if warned is not None:
        item["00081196"] = {"vr": "US", "Value": [warned]}
    return {"00081199": {"vr": "SQ", "Value": [item]}}


@pytest.mark.parametrize(
    ("code", "answer", "status"),
    [
        (200, said(), 0x0000),
        (200, None, 0x0000),
        (200, ["no data set"], 0x0000),
        (200, b"<no JSON", 0x0000),
        (200, {"00081198": {"vr": "SQ"}}, 0x0000),
        (202, said(warned=0xB006), 0xB006),
        (409, said(failed=0x0111), 0x0000),  # it is there already
        (200, said(failed=0x0111), 0x0000),
    ],
)
def test_what_is_taken(service: Service, parcel: Parcel, code: int, answer: object, status: int) -> None:
    service.answers = [(code, answer)]
    assert to(service.url).send(parcel) == status
    assert service.paths == ["/web/studies"]
    assert b"\r\n\r\n" + parcel.path.read_bytes()[:132] in service.bodies[0]


@pytest.mark.parametrize(
    ("code", "answer", "error"),
    [
        (409, said(failed=0xA700), PeerUnreachable),
        (202, said(failed=0xA700), PeerUnreachable),
        (409, said(failed=0x0122), ClassRefused),
        (409, said(failed=0xA900), Refused),
        (202, said(failed=0xC000), Refused),
        (409, None, Refused),
        (409, ["no data set"], Refused),
        (400, None, Refused),
        (413, None, Refused),
        (401, None, PeerRejected),
        (403, None, PeerRejected),
        (404, None, PeerRejected),
        (429, None, PeerUnreachable),
        (500, None, PeerUnreachable),
        (503, None, PeerUnreachable),
    ],
)
def test_what_is_not_taken(service: Service, parcel: Parcel, code: int, answer: object, error: type[Exception]) -> None:
    service.answers = [(code, answer)]
    with pytest.raises(error) as raised:
        to(service.url).send(parcel)
    assert type(raised.value) is error


def test_a_syntax_that_is_not_taken_is_replaced_by_the_native_one(service: Service, parcel: Parcel) -> None:
    service.answers = [(409, said(failed=0xC122)), (200, said())]
    wanted = Parcel(path=parcel.path, named=parcel.named, syntaxes=(SegSyntax.DEFLATED, SegSyntax.NATIVE))
    assert to(service.url).send(wanted) == 0
    assert [b"1.2.840.10008.1.2.1.99" in body for body in service.bodies] == [True, False]


@pytest.mark.parametrize(
    ("size", "added"), [(0, b""), (None, b"\x02\x00\x10\x00UI\x02\x001\x00")], ids=["empty", "meta in the data set"]
)
def test_what_cannot_be_encoded_is_refused_and_not_taken_for_sent(
    service: Service, parcel: Parcel, size: int | None, added: bytes
) -> None:
    service.answers = [(200, said())]
    parcel.path.write_bytes(parcel.path.read_bytes()[:size] + added)
    with pytest.raises(Refused, match="it cannot be encoded"):
        to(service.url).send(parcel)
    assert service.bodies == []


def test_a_file_that_a_service_does_not_take_keeps_no_other_back(service: Service, parcel: Parcel) -> None:
    service.answers = [(200, None), (409, None), (503, None), (200, []), (202, said(warned=0xB006))]
    sent = [*deliver_each([outgoing(parcel.path)] * 4, to(service.url))]
    assert [one.status for one in sent] == [0, None, None, 0xB006]
    assert ["HTTP status 409" in str(sent[1].error), "HTTP status 503" in str(sent[2].error)] == [True, True]
    assert service.paths.count("/web/studies") == 4  # and one query, whether it is there after 503


def test_once_a_service_is_gone_the_others_are_not_tried(service: Service, parcel: Parcel) -> None:
    service.answers = [(200, None), (503, None)]
    sent = [*deliver_each([outgoing(parcel.path)] * 4, to(service.url))]
    assert [one.error is None for one in sent] == [True, False, False, False]
    assert len(service.paths) == 3
    with pytest.raises(PeerUnreachable, match="HTTP status 503"):
        next(deliver_each([outgoing(parcel.path)], to(service.url)))


def test_nobody_there_is_tried_again(parcel: Parcel) -> None:
    nobody = to(f"http://127.0.0.1:{free_port()}/web")
    for ask in (lambda: nobody.send(parcel), lambda: nobody.keeps(parcel), nobody.probe):
        with pytest.raises(PeerUnreachable, match="did not answer, or broke off: ConnectionError"):
            ask()


def test_who_calls_is_told_by_the_file(service: Service, parcel: Parcel, tmp_path: Path) -> None:
    service.answers = [(200, said())]
    file = tmp_path / "authorization"
    to_it = to(service.url, authorization_file=file)
    with pytest.raises(Unavailable, match="authorization cannot be read"):
        to_it.send(parcel)
    file.write_text("Bearer secret\nand a comment")
    to_it.send(parcel)
    assert service.headers[0]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ([(200, [{"00080018": {"vr": "UI", "Value": [UID]}}])], True),
        ([(200, [{"00080018": {"vr": "UI", "Value": ["1.2.3"]}}])], False),  # it does not filter
        ([(200, [])], False),
        ([(200, ["no data set", {"00080018": {"vr": "UI"}}])], False),
        ([(204, None)], False),
        ([(404, None), (200, [])], False),  # it has no such study
    ],
)
def test_what_is_kept_is_found(
    service: Service, parcel: Parcel, answers: list[tuple[int, object]], *, kept: bool
) -> None:
    service.answers = answers
    assert to(service.url).keeps(parcel) is kept
    assert service.paths[0].endswith(f"/instances?SOPInstanceUID={UID}")
    assert to(service.url).keeps_by is ProvenBy.QUERY


@pytest.mark.parametrize("code", [404, 405, 501])
def test_a_service_that_answers_no_queries_is_told_apart(service: Service, parcel: Parcel, code: int) -> None:
    service.answers = [(code, None)]
    with pytest.raises(ClassRefused):
        to(service.url).keeps(parcel)
    to(service.url).probe()  # that is there, though


def test_a_service_in_trouble_is_not_there(service: Service) -> None:
    service.answers = [(503, None)]
    with pytest.raises(PeerUnreachable, match="HTTP status 503"):
        to(service.url).probe()


def test_there_is_no_storage_commitment(service: Service, parcel: Parcel) -> None:
    transaction = Transaction(uid=Uid("2.25.1"), reported=lambda _report: False, is_open=lambda: False)
    with pytest.raises(ClassRefused, match="knows no storage commitment"):
        to(service.url).commit(transaction, [parcel])
