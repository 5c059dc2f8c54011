"""The clients of DICOMweb: QIDO-RS, WADO-RS and STOW-RS (PS3.18 10)."""

from dataclasses import dataclass
from pathlib import Path

import requests
from dicomweb_client.api import DICOMwebClient

from dicomnode.errors import Unavailable


@dataclass(frozen=True, kw_only=True, slots=True)
class WebPeer:
    """Where a DICOMweb service is, and the file whose first line tells it who calls."""

    url: str
    authorization_file: Path | None = None

    def __str__(self) -> str:
        """Return it as messages name it."""
        return self.url


def client(peer: WebPeer) -> DICOMwebClient:
    """Return a client of `peer`; the file with its authorization is read anew each time."""
    session = requests.Session()
    if peer.authorization_file is not None:
        session.headers["Authorization"] = _first_line(peer.authorization_file)
    return DICOMwebClient(peer.url, session=session)


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
