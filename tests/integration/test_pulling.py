"""Files of models are fetched from a web server, gone on with after a break, and checked."""

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dicomnode.errors import Refused, SettingsError, Unavailable
from dicomnode.inference.catalog import CatalogEntry
from dicomnode.inference.pulling import pull
from tests.disks import room_for

CONTENT = bytes(range(256)) * 4096  # 1 MiB
ENTRY = CatalogEntry(
    description="a model",
    origin="a test",
    licence="CC0-1.0",
    weights="weights.pth",
    card="README.md",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


@dataclass
class Site:
    """A web server with one file; `breaks` are after how many bytes of an answer it hangs up, one after the other."""

    content: bytes = CONTENT
    ranges: bool = True
    status: int = 200
    says_size: bool = True
    says_range: str | None = None
    goes_back: int = 0
    breaks: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.ranges else 0
        start = max(0, start - self.goes_back)
        if self.status != 200:
            request.send_error(self.status)
        elif start >= len(self.content):
            request.send_error(416)
        else:
            self._send(request, start)

    def _send(self, request: BaseHTTPRequestHandler, start: int) -> None:
        part = self.content[start:]
        request.send_response(206 if start else 200)
        if start:
            said = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
            request.send_header("Content-Range", said if self.says_range is None else self.says_range)
        if self.says_size:
            request.send_header("Content-Length", str(len(part)))
        request.end_headers()
        with suppress(ConnectionError):  # who asked may have hung up
            request.wfile.write(part[: self.breaks.pop(0)] if self.breaks else part)
        request.close_connection = True


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the server's own signature
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        served.url = f"http://127.0.0.1:{server.server_port}/weights.pth"
        yield served
        server.shutdown()
        thread.join()


def fetched(site: Site, folder: Path, entry: CatalogEntry = ENTRY) -> Path:
    return pull(entry, (site.url,), folder, lambda _there, _size: None)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_fetched_and_its_progress_told(site: Site, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = pull(ENTRY, (site.url,), tmp_path / "new", lambda there, size: told.append((there, size)))
    assert path == tmp_path / "new" / "weights.pth"
    assert path.read_bytes() == CONTENT
    assert names_in(path.parent) == {"weights.pth"}
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [there for there, _ in told] == sorted(there for there, _ in told)
    assert len(told) > 3
    assert site.asked == [None]


def test_a_git_blob_id_will_do(site: Site, tmp_path: Path) -> None:
    blob = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT, usedforsecurity=False).hexdigest()
    assert fetched(site, tmp_path, replace(ENTRY, sha256=None, git_blob=blob)).read_bytes() == CONTENT


def test_what_is_there_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    fetched(site, tmp_path)
    fetched(site, tmp_path)
    assert len(site.asked) == 1
    assert names_in(tmp_path) == {"weights.pth"}


def test_a_fetch_goes_on_where_the_connection_breaks(site: Site, tmp_path: Path) -> None:
    site.breaks = [1000, 70_000, 0]
    assert fetched(site, tmp_path).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=1000-", "bytes=71000-", "bytes=71000-"]


def test_a_fetch_goes_on_where_an_earlier_one_was_ended(site: Site, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.part").write_bytes(CONTENT[:5000])
    assert fetched(site, tmp_path).read_bytes() == CONTENT
    assert site.asked == ["bytes=5000-"]


def test_a_fetch_that_was_ended_after_its_last_byte_is_whole(site: Site, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.part").write_bytes(CONTENT)
    assert fetched(site, tmp_path).read_bytes() == CONTENT
    assert site.asked == []


def test_a_full_disk_is_named_and_what_came_is_kept(site: Site, tmp_path: Path) -> None:
    with room_for(500_000), pytest.raises(Unavailable, match=rf"^{tmp_path}/weights\.pth\.part: File too large"):
        fetched(site, tmp_path)
    assert (tmp_path / "weights.pth.part").read_bytes() == CONTENT[:500_000]
    assert fetched(site, tmp_path).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=500000-"]


@pytest.mark.parametrize("says", ["bytes 9000-1048575/1048576", "bytes 5000-1048575/*", "pages 1-2/3", ""])
def test_a_part_that_was_not_asked_for_is_told_and_what_is_there_stays(site: Site, tmp_path: Path, says: str) -> None:
    (tmp_path / "weights.pth.part").write_bytes(CONTENT[:5000])
    site.says_range = says
    with pytest.raises(Unavailable, match=r"it answers (from byte 9000 on|with a part of the file and does not say)"):
        fetched(site, tmp_path)
    assert (tmp_path / "weights.pth.part").read_bytes() == CONTENT[:5000]


def test_a_server_that_goes_on_from_before_what_was_asked_is_followed(site: Site, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.part").write_bytes(CONTENT[:5000])
    site.goes_back = 1000
    assert fetched(site, tmp_path).read_bytes() == CONTENT


def test_a_server_that_sends_another_file_from_there_on_is_asked_for_all(site: Site, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.part").write_bytes(CONTENT[:5000])
    site.content = CONTENT[:-1] + b"x"
    with pytest.raises(Refused, match="another file than the published one"):
        fetched(site, tmp_path)
    assert site.asked == ["bytes=5000-", None]


def test_a_server_that_sends_more_than_it_said_is_left(site: Site, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.part").write_bytes(CONTENT[:5000])
    site.says_range, site.says_size = "bytes 5000-5009/5010", False
    with pytest.raises(Unavailable, match="it gives more than the 5010 bytes that it may"):
        fetched(site, tmp_path)


def test_a_server_that_breaks_off_again_and_again_is_left_with_what_came(site: Site, tmp_path: Path) -> None:
    site.breaks = [1000, *[0] * 10]
    with pytest.raises(Unavailable, match=r"breaks off at byte 1000; the same command goes on from there"):
        fetched(site, tmp_path)
    assert (tmp_path / "weights.pth.part").read_bytes() == CONTENT[:1000]
    site.breaks = []
    assert fetched(site, tmp_path).read_bytes() == CONTENT


def test_a_server_without_ranges_is_asked_for_all_again(site: Site, tmp_path: Path) -> None:
    site.ranges, site.breaks = False, [1000]
    assert fetched(site, tmp_path).read_bytes() == CONTENT


def test_a_server_may_not_say_how_large_the_file_is(site: Site, tmp_path: Path) -> None:
    site.says_size = False
    assert fetched(site, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("begun", [b"", b"something else", CONTENT + b"more"])
def test_a_part_of_another_file_is_thrown_away(site: Site, tmp_path: Path, begun: bytes) -> None:
    (tmp_path / "weights.pth.part").write_bytes(begun)
    assert fetched(site, tmp_path).read_bytes() == CONTENT


def test_a_changed_file_that_is_there_is_fetched_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"changed")
    assert fetched(site, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "content",
    [b"<html>Sign in</html>", CONTENT[:-1], CONTENT + b"x", b"y" + CONTENT[1:]],
    ids=["page", "short", "long", "changed"],
)
@pytest.mark.parametrize("begun", [b"", b"another"])
def test_another_file_than_the_published_one_is_refused_and_thrown_away(
    site: Site, tmp_path: Path, content: bytes, begun: bytes
) -> None:
    site.content = content
    (tmp_path / "weights.pth.part").write_bytes(begun)
    found = hashlib.sha256(content).hexdigest()
    with pytest.raises(Refused, match=f"another file than the published one: {found} instead of {ENTRY.sha256}"):
        fetched(site, tmp_path)
    assert not (tmp_path / "weights.pth").exists()
    assert (tmp_path / "weights.pth.part").read_bytes() == b""


@pytest.mark.parametrize(("status", "says"), [(404, "it answers 404 Not Found"), (503, "it answers 503 Service")])
def test_an_answer_that_is_no_file_is_told(site: Site, tmp_path: Path, status: int, says: str) -> None:
    site.status = status
    with pytest.raises(Unavailable, match=rf"^weights\.pth: {site.url}: {says}"):
        fetched(site, tmp_path)


def test_a_server_that_is_not_there_is_told_with_the_page_for_a_browser(site: Site, tmp_path: Path) -> None:
    entry = replace(ENTRY, page="https://example.org/page")
    with pytest.raises(Unavailable, match=r"cannot be reached: .*refused.*a browser.*https://example\.org/page"):
        pull(entry, ("http://127.0.0.1:9/weights.pth",), tmp_path, lambda _there, _size: None)
    assert site.asked == []


def test_the_next_origin_is_asked_where_one_fails(site: Site, tmp_path: Path) -> None:
    origins = ("http://127.0.0.1:9/weights.pth", site.url)
    assert pull(ENTRY, origins, tmp_path, lambda _there, _size: None).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("entry", "change", "says"),
    [
        (ENTRY, lambda _: "file:///etc/passwd", "must begin with http"),
        (ENTRY, lambda _: "ftp://127.0.0.1/weights.pth", "must begin with http"),
        (ENTRY, lambda _: "http:///weights.pth", "must begin with http"),
        (ENTRY, lambda _: "http://[", "must begin with http"),
        (replace(ENTRY, sha256=None), lambda url: url, "no hash of it"),
    ],
)
def test_what_cannot_be_fetched_or_checked_is_not(
    site: Site, tmp_path: Path, entry: CatalogEntry, change: Callable[[str], str], says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        pull(entry, (change(site.url),), tmp_path / "new", lambda _there, _size: None)
    assert not (tmp_path / "new").exists()


def test_without_an_origin_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no address"):
        pull(ENTRY, (), tmp_path, lambda _there, _size: None)


def test_two_do_not_fetch_the_same_file_at_once(site: Site, tmp_path: Path) -> None:
    with (tmp_path / "weights.pth.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="another process is fetching it"):
            fetched(site, tmp_path)
    assert fetched(site, tmp_path).read_bytes() == CONTENT
