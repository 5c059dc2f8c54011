"""The clients of DICOMweb: QIDO-RS, WADO-RS and STOW-RS (PS3.18 10)."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.datadict import keyword_for_tag, tag_for_keyword

from dicomnode.errors import PeerUnreachable, Reason, Refused, SettingsError, Unavailable
from dicomnode.network.part10 import request_of
from dicomnode.network.portions import Portion, Recipient, Told, recorded
from dicomnode.network.query import Match
from dicomnode.network.storing import Intake

_SECONDS = 60.0  # for a connection, and between two pieces of an answer
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_AS_KEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'  # PS3.18 8.7.3.5.2


@dataclass(frozen=True, kw_only=True, slots=True)
class WebPeer:
    """Where a DICOMweb service is, and the file whose first line tells it who calls."""

    url: str
    authorization_file: Path | None = None

    def __str__(self) -> str:
        """Return it as messages name it."""
        return self.url


class HttpStatusError(Exception):
    """A service answered with a status that is not one of success, and perhaps with JSON."""

    def __init__(self, status: int, said: object = None) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.said = said

    @property
    def is_for_now(self) -> bool:
        """Return whether another try may help."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR or self.status in _LATER


def search(
    peer: WebPeer, level: str, keys: Match, *, limit: int | None = None, seconds: float | None = None
) -> tuple[Match, ...]:
    """Return what matches `keys` at `level` (STUDY, SERIES or IMAGE) in `peer`, as `query.find` does.

    Raises Unavailable where another try may help, and Refused where none will.
    """
    filters = {keyword: value.replace("\\", ",") for keyword, value in keys.items() if value}
    unknown = [keyword for keyword in keys if tag_for_keyword(keyword) is None]
    if unknown:
        raise SettingsError("query", f"{unknown[0]!r} is no DICOM keyword")
    found: list[dict[str, Any]] = []
    with _translated(peer), asking(peer, seconds or _SECONDS) as opened:
        while limit is None or len(found) < limit:
            rest = None if limit is None else limit - len(found)
            some = _search(opened, level, filters, {"fields": [*keys], "offset": len(found), "limit": rest})
            if not some or some[0] in found:  # the latter of a service that does not know offsets
                break
            found += some
    return tuple(_match(one, keys) for one in found[:limit])


def retrieve(peer: WebPeer, name: str, portions: Sequence[Portion], recipient: Recipient, told: Told) -> None:
    """Get the objects of `portions` from `peer`, called `name`, and give them to `recipient`; raises as `search` does.

    The data set of each is kept byte for byte as the service gave it; the file meta information is made anew, as it is
    of what is received by C-STORE.
    """
    with _translated(peer), asking(peer) as opened, recorded(recipient, name) as number:
        for path in paths_of(portions):
            with closing(opened.files(path)) as files:
                for content in files:
                    _keep(content, name, number, recipient.intake)
                    told()


def paths_of(portions: Sequence[Portion]) -> Iterator[str]:
    """Yield the paths of the resources that the objects of `portions` are (PS3.18 10.4.1.1.1)."""
    for portion in portions:
        path = f"/studies/{portion.study_uid}/series/{portion.series_uid}"
        if portion.whole:
            yield path
        else:
            yield from (f"{path}/instances/{uid}" for uid in portion.objects)


@contextmanager
def asking(peer: WebPeer, seconds: float = _SECONDS) -> Iterator["_Client"]:
    """Lend a client of `peer`, which does not try again by itself; the file with its authorization is read anew.

    Raises HttpStatusError where `peer` answers with a failure, PeerUnreachable where it does not answer, Unavailable
    where that file cannot be read, and ValueError where its answer is not understood.
    """
    with _client(peer, seconds) as opened:
        try:
            yield opened
        except requests.HTTPError as error:
            raise _status_error(error) from error
        except requests.JSONDecodeError:
            raise  # a ValueError as well
        except requests.RequestException as error:
            raise PeerUnreachable(f"{peer} did not answer, or broke off: {type(error).__name__}") from error


@contextmanager
def _translated(peer: WebPeer) -> Iterator[None]:
    """Turn what the libraries raise into what to do about it; a ValueError is an answer that is not understood."""
    try:
        yield
    except HttpStatusError as error:
        _raise_status(peer, error)
    except ValueError as error:
        raise Refused(
            Reason.PEER_REFUSED, str(peer), f"its answer is not understood: {type(error).__name__}"
        ) from error


class _Client(DICOMwebClient):
    """A client that also gives files as they came: the library's own way parses them.

    It writes asterisks of queries as they are: some services do not take the encoded ones for wildcards.
    """

    def files(self, path: str) -> Generator[bytes, None, None]:
        """Yield the Part 10 files of the resource at `path`, in the syntaxes in which they are kept."""
        response = self._http_get(self.base_url + path, headers={"Accept": _AS_KEPT}, stream=True)
        with closing(response):
            if response.headers.get("Content-Type", "").startswith("multipart/"):
                yield from self._decode_multipart_message(response, stream=True)
            else:  # one file, not wrapped; PS3.18 once allowed it
                yield response.content

    def _http_get(
        self,
        url: str,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,  # noqa: FBT001, FBT002 - the library's signature
    ) -> requests.Response:
        query = urlencode(params, doseq=True, safe="*,") if params else ""
        return super()._http_get(f"{url}?{query}" if query else url, None, headers, stream)


@contextmanager
def _client(peer: WebPeer, seconds: float) -> Iterator[_Client]:
    """Lend a client whose connections are closed at the end."""
    with closing(requests.Session()) as session:
        if peer.authorization_file is not None:
            session.headers["Authorization"] = _first_line(peer.authorization_file)
        made = _Client(peer.url.rstrip("/"), session=session, timeout=seconds, permissive_uid=True)
        made.set_http_retry_params(retry=False)  # who asks tries again, and says so meanwhile
        yield made


def _status_error(error: requests.HTTPError) -> HttpStatusError:
    if error.response is None:
        return HttpStatusError(0)
    try:
        return HttpStatusError(error.response.status_code, error.response.json())
    except requests.JSONDecodeError:
        return HttpStatusError(error.response.status_code)


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error


def _search(opened: _Client, level: str, filters: dict[str, str], how: dict[str, Any]) -> list[dict[str, Any]]:
    if level == "STUDY":
        return opened.search_for_studies(search_filters=filters, **how)
    study = filters.get("StudyInstanceUID")
    rest = {keyword: value for keyword, value in filters.items() if keyword != "StudyInstanceUID"}
    if level == "SERIES":
        return opened.search_for_series(study, search_filters=rest, **how)
    series = rest.pop("SeriesInstanceUID", None) if study else None
    return opened.search_for_instances(study, series, search_filters=rest, **how)


def _match(found: Mapping[str, Any], keys: Match) -> Match:
    """Return the values of `keys` in a DICOM JSON object (PS3.18 F.2)."""
    values = {keyword_for_tag(tag): element.get("Value", ()) for tag, element in found.items()}
    return {keyword: "\\".join(_text(value) for value in values.get(keyword, ())) for keyword in keys}


def _text(value: object) -> str:
    return str(value.get("Alphabetic", "")) if isinstance(value, dict) else str(value)


def _keep(content: bytes, name: str, number: int, intake: Intake) -> None:
    """Give one file to `intake`; one that is refused is told by the log, and missed by who asked for it."""
    try:
        request, data_set = request_of(content, name, number)
    except Refused:
        return
    intake.keep(request, [data_set])


def _raise_status(peer: WebPeer, error: HttpStatusError) -> None:
    if error.is_for_now:
        raise PeerUnreachable(f"{peer} cannot answer now: {error}") from error
    words: dict[int, str] = {
        HTTPStatus.UNAUTHORIZED: ": it does not know who calls; see authorization_file",
        HTTPStatus.FORBIDDEN: ": it does not let this node do it",
        HTTPStatus.NOT_FOUND: ": it is not there",
    }
    raise Refused(Reason.PEER_REFUSED, str(peer), f"{error}{words.get(error.status, '')}") from error
