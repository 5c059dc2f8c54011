"""Fetch the file of a model from where the catalog says it is, go on where a fetch was broken off, and check it."""

import fcntl
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from io import FileIO
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from dicomnode import __version__
from dicomnode.errors import Reason, Refused, SettingsError, Unavailable
from dicomnode.inference.catalog import CatalogEntry
from dicomnode.inference.lineage import source_of

Progress = Callable[[int, int], None]  # bytes that are there, bytes in all

_SILENCE = 30.0  # seconds without a byte, after which a server counts as gone
_BLOCK = 2**18
_LARGEST = 4 * 2**30
_MOST_BREAKS = 3  # one after the other without a byte between them
_PARTIAL, _NO_SUCH_RANGE = 206, 416


class _NotFetchedError(Exception):
    """An origin did not give the file; `wrong` tells that it gave another one."""

    def __init__(self, why: str, *, wrong: bool = False) -> None:
        super().__init__(why)
        self.wrong = wrong


class _NoSuchRangeError(Exception):
    """A server's file is not as long as what is there already."""


class _Part:
    """What there is of a file that is being fetched, open to be appended to by one process at a time."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path, self._file = path, file

    @property
    def size(self) -> int:
        return self._file.seek(0, 2)

    def append(self, block: bytes) -> None:
        try:
            while block:
                block = block[self._file.write(block) :]  # a disk that is nearly full takes a part of it
        except OSError as error:
            raise Unavailable(f"{self.path}: {error.strerror}") from error

    def cut(self, size: int) -> None:
        self._file.truncate(size)


def pull(entry: CatalogEntry, origins: Sequence[str], folder: Path, progress: Progress) -> Path:
    """Fetch the file of `entry` into `folder` from the first of `origins` that has it, and return where it is.

    What a broken fetch left in `folder` is gone on with; a file that is not the catalog's is thrown away.
    """
    _check(entry, origins)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / entry.weights
    with _opened(folder / f"{entry.weights}.part") as part:
        if path.is_file() and _is_published(entry, path):
            part.path.unlink(missing_ok=True)
        else:
            if not _is_published(entry, part.path):  # an earlier fetch may have ended with its last byte
                _fetch_from_any(entry, origins, part, progress)
            part.path.replace(path)
    return path


def _check(entry: CatalogEntry, origins: Sequence[str]) -> None:
    if not entry.git_blob and not entry.sha256:
        raise SettingsError(entry.weights, "the catalog has no hash of it, so that it could not be checked")
    if not origins:
        raise SettingsError(entry.weights, "the catalog has no address that it can be fetched from")
    for url in origins:
        if not _is_of_web(url):
            raise SettingsError(f"origin {url!r}", "it must begin with http:// or https:// and a host")


def _is_of_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


@contextmanager
def _opened(path: Path) -> Iterator[_Part]:
    with path.open("ab", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(f"{path}: another process is fetching it") from error
        yield _Part(path, file)


def _fetch_from_any(entry: CatalogEntry, origins: Sequence[str], part: _Part, progress: Progress) -> None:
    """Fetch the file of `entry` from the first of `origins` that has it."""
    failures = []
    for url in origins:
        try:
            _fetch_checked(entry, url, part, progress)
        except _NotFetchedError as error:
            failures.append((url, error))
        else:
            return
    told = "; ".join(f"{url}: {error}" for url, error in failures)
    if entry.page:
        told += f"; with a browser it is found at {entry.page}, and dicomnode models import takes it"
    if any(error.wrong for _, error in failures):
        raise Refused(Reason.BAD_MODEL, entry.weights, told)
    raise Unavailable(f"{entry.weights}: {told}")


def _fetch_checked(entry: CatalogEntry, url: str, part: _Part, progress: Progress) -> None:
    """Fetch the file of `entry` from `url`; where what was there already does not go with it, fetch it whole."""
    began_with = part.size
    _fetch(url, part, progress)
    if _is_published(entry, part.path):
        return
    found = source_of(part.path, "")
    part.cut(0)
    if began_with:
        _fetch_checked(entry, url, part, progress)
        return
    wanted, got = (entry.sha256, found.sha256) if entry.sha256 else (entry.git_blob, found.git_blob)
    raise _NotFetchedError(f"it gives another file than the published one: {got} instead of {wanted}", wrong=True)


def _is_published(entry: CatalogEntry, path: Path) -> bool:
    return entry.is_of(source_of(path, ""))


def _fetch(url: str, part: _Part, progress: Progress) -> None:
    """Append to `part` what it lacks of the file at `url`, and go on where the connection breaks."""
    breaks = 0
    while breaks < _MOST_BREAKS:
        before = part.size
        try:
            with _answer(url, part) as (response, size):
                if _receive(response, size, part, progress):
                    return
        except _NoSuchRangeError:
            part.cut(0)  # it is longer than the server's file
        breaks = 0 if part.size > before else breaks + 1
    raise _NotFetchedError(f"it breaks off at byte {part.size}; the same command goes on from there")


@contextmanager
def _answer(url: str, part: _Part) -> Iterator[tuple[HTTPResponse, int | None]]:
    """Ask for what `part` lacks; yield the answer, and how large the whole file is if it says so.

    `part` becomes empty where the server gives the whole file.
    """
    headers = {"User-Agent": f"dicomnode/{__version__}", "Accept-Encoding": "identity"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
    with _open(Request(url, headers=headers)) as response:  # noqa: S310 - http or https
        start, size = _extent(response)
        if start > part.size:
            raise _NotFetchedError(f"it answers from byte {start} on, and was asked from {part.size}")
        part.cut(start)
        yield response, size


def _open(request: Request) -> HTTPResponse:
    try:
        response: HTTPResponse = urlopen(request, timeout=_SILENCE)  # noqa: S310
    except HTTPError as error:
        error.close()
        if error.code == _NO_SUCH_RANGE and request.has_header("Range"):
            raise _NoSuchRangeError from error
        raise _NotFetchedError(f"it answers {error.code} {error.reason}") from error
    except (HTTPException, OSError, ValueError) as error:
        raise _NotFetchedError(f"it cannot be reached: {getattr(error, 'reason', error)}") from error
    return response


def _extent(response: HTTPResponse) -> tuple[int, int | None]:
    """Return which byte of the file an answer begins with, and how many the file has if the answer says so."""
    if response.status != _PARTIAL:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if not found:
        raise _NotFetchedError("it answers with a part of the file and does not say which")
    return int(found[1]), int(found[2])


def _receive(response: HTTPResponse, size: int | None, part: _Part, progress: Progress) -> bool:
    """Append what `response` brings to `part`; return whether it is whole."""
    there = part.size
    while block := _read(response):
        there += len(block)
        if there > (_LARGEST if size is None else min(size, _LARGEST)):
            raise _NotFetchedError(f"it gives more than the {size or _LARGEST} bytes that it may")
        part.append(block)
        progress(there, size or there)
    return block is not None and size in {None, there}


def _read(response: HTTPResponse) -> bytes | None:
    """Return the next bytes of `response`, none at its end, None where the connection breaks."""
    try:
        return response.read(_BLOCK)
    except (HTTPException, OSError):
        return None
