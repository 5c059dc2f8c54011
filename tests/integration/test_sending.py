import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MediaStorageDirectoryStorage
from pynetdicom import AE, build_context

from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.errors import PeerUnreachable, Reason, Refused, SettingsError, Unavailable
from dicomnode.network import echo
from dicomnode.network.associations import Peer
from dicomnode.network.batch import Outgoing, deliver_each, outgoing, send_each
from dicomnode.network.contexts import VERIFICATION
from dicomnode.network.folder import FolderDestination
from dicomnode.network.part10 import StoreRequest
from dicomnode.network.web import WebPeer
from dicomnode.sending import FolderAnswer, WebAnswer, ask, send_paths, target_of
from dicomnode.settings import Settings, Surroundings, parse
from tests.builders import ct_series, save
from tests.fakes import Loopback

# pynetdicom leaves a socket to the garbage collector when nobody listens at the other end.

REMOTES = """
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "pacs.example.org"
port = 104
[[destinations]]
name = "files"
kind = "folder"
path = "files"
[[destinations]]
name = "archive"
kind = "stow"
url = "http://archive.example.org/dicom-web"
[[sources]]
name = "archive"
ae_title = "ARCHIVE"
host = "10.0.0.5"
port = 104
[[sources]]
name = "web"
kind = "dicomweb"
url = "http://127.0.0.1:1"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    where = Surroundings(environment={"HOME": str(tmp_path)}, folder=tmp_path)
    return parse(f'[node]\nae_title = "NODE"\n{REMOTES}', None, where)


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    return save(ct_series(planes=3), tmp_path / "study")


@contextmanager
def listening(ae: AE) -> Iterator[int]:
    """Lend the port that `ae` listens on."""
    server = ae.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    yield server.server_address[1]
    server.shutdown()


@contextmanager
def answering(status: int) -> Iterator[str]:
    """Lend the address of a web service that answers everything with `status`."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.end_headers()
            self.wfile.write(b"[]" if status == 200 else b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_destination_counts_before_a_source_and_an_address_is_one(settings: Settings, tmp_path: Path) -> None:
    assert target_of("pacs", settings) == Peer(ae_title="PACS", host="pacs.example.org", port=104)
    assert target_of("archive", settings) == WebPeer(url="http://archive.example.org/dicom-web")
    assert target_of("web", settings) == WebPeer(url="http://127.0.0.1:1")
    assert target_of("files", settings) == tmp_path / "files"
    assert target_of("MY PACS@10.0.0.1:11112", settings) == Peer(ae_title="MY PACS", host="10.0.0.1", port=11112)
    assert target_of("PACS@[fe80::1%eth0]:104", settings) == Peer(ae_title="PACS", host="fe80::1%eth0", port=104)


@pytest.mark.parametrize(
    "name", ["pcas", "PACS@host", "PACS@host:port", "PACS@:104", "PACS@host:65536", "A TITLE TOO LONG FOR ONE@h:1"]
)
def test_a_name_that_means_nothing_is_wrong_usage(settings: Settings, name: str) -> None:
    with pytest.raises(SettingsError, match="no destination or source is called so, and it is no AE@HOST:PORT"):
        target_of(name, settings)


def test_a_peer_says_what_it_takes(tmp_path: Path) -> None:
    contexts = [build_context(VERIFICATION), build_context(CTImageStorage)]
    with Loopback(tmp_path / "pacs", contexts=contexts) as pacs:
        answer = echo.echo(pacs.peer, "NODE")
    assert answer.echo_seconds is not None
    assert answer.echo_seconds > 0
    assert answer.implementation_version_name == "DICOMNODE"
    assert {name for name, syntax in answer.accepts.items() if syntax} == {"C-ECHO"}


def test_a_peer_without_verification_is_there_all_the_same() -> None:
    ae = AE("PACS")
    ae.add_supported_context("1.2.840.10008.5.1.4.1.1.66.4", ExplicitVRLittleEndian)
    with listening(ae) as port:
        answer = echo.echo(Peer(ae_title="PACS", host="127.0.0.1", port=port), "NODE")
    assert answer.echo_seconds is None
    assert answer.accepts["SEG"] == "Explicit VR Little Endian"


def test_a_peer_that_does_not_know_who_calls_says_what_to_do() -> None:
    ae = AE("PACS")
    ae.add_supported_context(VERIFICATION)
    ae.require_calling_aet = ["FRIEND"]
    with (
        listening(ae) as port,
        pytest.raises((Refused, PeerUnreachable), match="Calling AE title not recognised: have STRANGER registered"),
    ):
        echo.echo(Peer(ae_title="PACS", host="127.0.0.1", port=port), "STRANGER")


def test_a_peer_of_another_name_says_what_to_do() -> None:
    ae = AE("PACS")
    ae.add_supported_context(VERIFICATION)
    ae.require_called_aet = True
    with (
        listening(ae) as port,
        pytest.raises((Refused, PeerUnreachable), match="it is not called OTHER: correct the AE title"),
    ):
        echo.echo(Peer(ae_title="OTHER", host="127.0.0.1", port=port), "NODE")


def test_where_nothing_listens_that_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(PeerUnreachable, match="nothing listens there"):
        echo.echo(Peer(ae_title="PACS", host="127.0.0.1", port=port), "NODE")


def test_a_host_that_nobody_knows_is_said() -> None:
    with pytest.raises(PeerUnreachable, match="the host name is not known here"):
        echo.echo(Peer(ae_title="PACS", host="nowhere.invalid", port=104), "NODE")


@pytest.mark.parametrize("status", [200, 204, 405])
def test_a_service_answers_though_it_knows_no_queries(status: int, settings: Settings) -> None:
    with answering(status) as url:
        assert isinstance(ask(WebPeer(url=url), settings), WebAnswer)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, Refused, "look at authorization_file"),
        (403, Refused, "look at authorization_file"),
        (404, Refused, "correct url"),
        (503, PeerUnreachable, "HTTP status 503"),
    ],
)
def test_a_service_that_does_not_want_to_says_what_to_do(status: int, error: type[Exception], words: str) -> None:
    with answering(status) as url, pytest.raises(error, match=words):
        echo.ask(WebPeer(url=url))


def test_a_service_that_is_not_there_did_not_answer() -> None:
    with pytest.raises(PeerUnreachable, match="did not answer"):
        echo.ask(WebPeer(url="http://127.0.0.1:1"))


def test_a_folder_is_tried_and_left_as_it_was(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    answer = ask(tmp_path / "files", settings)
    assert isinstance(answer, FolderAnswer)
    assert answer.free_bytes > 0
    assert [*(tmp_path / "files").iterdir()] == []
    with pytest.raises(Unavailable, match="gone cannot be written: No such file"):
        ask(tmp_path / "gone", settings)


def test_files_go_in_one_association_and_what_is_none_is_named(
    study: list[Path], settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "study" / "README").write_text("text")
    (tmp_path / "study" / "empty.dcm").touch()
    directory = dcmread(study[0])
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.save_as(tmp_path / "study" / "DICOMDIR")
    told: list[tuple[int, int]] = []
    with Loopback(tmp_path / "pacs") as pacs:
        done = send_paths([tmp_path / "study"], pacs.peer, settings, lambda *so_far: told.append(so_far))
        assert len(pacs.received) == 3
    assert len(pacs.ended) == 1
    assert [(one.status, one.error) for one in done.sent] == [(0, None)] * 3
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert sorted((Path(one.what).name, one.reason) for one in done.skipped) == [
        ("DICOMDIR", Reason.NOT_AN_IMAGE),
        ("README", Reason.NOT_DICOM),
        ("empty.dcm", Reason.NOT_DICOM),
    ]


def test_a_file_that_is_not_taken_keeps_no_other_back(study: list[Path], tmp_path: Path) -> None:
    unwanted = dcmread(study[1]).SOPInstanceUID

    def refuse(request: StoreRequest, _data_set: bytes) -> None:
        if request.sop_instance_uid == unwanted:
            raise Refused(Reason.BAD_UID, "object", "not this one")

    with Loopback(tmp_path / "pacs", refuse=refuse) as pacs:
        sent = [*send_each([outgoing(path) for path in study], pacs.peer, "NODE")]
    assert [one.error is None for one in sent] == [True, False, True]
    assert "status 0xC000" in str(sent[1].error)


def test_a_file_that_went_meanwhile_keeps_no_other_back(study: list[Path], tmp_path: Path) -> None:
    files = [outgoing(path) for path in study]
    study[0].unlink()
    with Loopback(tmp_path / "pacs") as pacs:
        sent = [*send_each(files, pacs.peer, "NODE")]
    assert [one.error is None for one in sent] == [False, True, True]


def test_after_a_broken_association_nothing_more_is_sent(study: list[Path], tmp_path: Path) -> None:
    files = [outgoing(path) for path in study]
    with Loopback(tmp_path / "pacs") as pacs:
        sending = send_each(files, pacs.peer, "NODE")
        first = next(sending)
        pacs._listener.stop(0)  # noqa: SLF001 - it breaks off
        others = [*sending]
    assert first.error is None
    assert all(one.error for one in others)
    assert "broke off before" in str(others[-1].error)


def test_many_classes_take_several_associations(study: list[Path], tmp_path: Path) -> None:
    files = [outgoing(path) for path in study]
    made = [
        Outgoing(path=study[0], sop_uid="1.2", sop_class=f"1.2.3.{number}", syntax=ExplicitVRLittleEndian)
        for number in range(100)
    ]
    with Loopback(tmp_path / "pacs") as pacs:
        sent = [*send_each([files[0], *made[:80], files[1], *made[80:]], pacs.peer, "NODE")]
        assert len(sent) == 102
        assert {one.file.path for one in sent if one.file in files and not one.error} == {*study[:2]}
    assert "it takes no 1.2.3." in str(sent[-1].error)


def nobody(_done: int, _total: int) -> None:
    """Be told of progress, and do nothing."""


def test_files_go_into_a_folder_by_their_uids(study: list[Path], settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    done = send_paths(study, target_of("files", settings), settings, nobody)
    assert [(one.status, one.error) for one in done.sent] == [(0, None)] * 3
    written = {path.stem: path.read_bytes() for path in (tmp_path / "files").rglob("*.dcm")}
    assert written == {dcmread(path).SOPInstanceUID: path.read_bytes() for path in study}


def test_a_target_that_is_not_there_is_an_error(study: list[Path], settings: Settings, tmp_path: Path) -> None:
    for name, words in (("files", "files is not there"), ("web", "did not answer")):
        with pytest.raises(PeerUnreachable, match=words):
            send_paths(study, target_of(name, settings), settings, nobody)
    assert not (tmp_path / "files").exists()


def test_what_cannot_go_into_a_folder_keeps_no_other_back(study: list[Path], tmp_path: Path) -> None:
    (folder := tmp_path / "files").mkdir()
    files = [*(outgoing(path) for path in study), replace(outgoing(study[2]), sop_class="../x")]
    nowhere = dcmread(study[0])
    del nowhere.StudyInstanceUID
    nowhere.save_as(study[0])
    study[1].unlink()
    sent = [*deliver_each(files, FolderDestination(path=folder, encode=in_syntax))]
    assert [one.error is None for one in sent] == [False, False, True, False]
    assert "StudyInstanceUID" in str(sent[0].error)
    assert [path.suffix for path in folder.rglob("*") if path.is_file()] == [".dcm"]
