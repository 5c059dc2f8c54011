"""Run Orthanc, a small PACS, and ask it what it has."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from dicomnode.network.associations import Peer
from tests.builders import STUDY
from tests.conftest import require_program, without
from tests.serving import free_port, until


@dataclass(frozen=True, kw_only=True, slots=True)
class Orthanc:
    """A running Orthanc: where it listens for DICOM, and for its REST API."""

    peer: Peer
    url: str

    def ask(self, path: str, query: object = None) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON that the REST API answers: to a GET, or to a POST of `query`."""
        body = None if query is None else json.dumps(query).encode()
        with urllib.request.urlopen(self.url + path, body, timeout=5) as answer:  # noqa: S310 - it is http
            return json.load(answer)

    def segs(self) -> list[dict[str, Any]]:
        """Return what the REST API knows of the study's segmentations."""
        wanted = {"Modality": "SEG", "StudyInstanceUID": STUDY}
        found: list[dict[str, Any]] = self.ask("/tools/find", {"Level": "Instance", "Query": wanted, "Expand": True})
        return found

    def file(self, instance: str) -> bytes:
        """Return the file of an instance that the REST API names so."""
        with urllib.request.urlopen(f"{self.url}/instances/{instance}/file", timeout=5) as answer:  # noqa: S310 - http
            content: bytes = answer.read()
            return content

    def upload(self, content: bytes) -> str:
        """Give it a file by the REST API; return what that calls the instance."""
        with urllib.request.urlopen(f"{self.url}/instances", content, timeout=5) as answer:  # noqa: S310 - it is http
            name: str = json.load(answer)["ID"]
            return name

    def name_of(self, sop_instance_uid: str) -> str:
        """Return what the REST API calls an instance."""
        (name,) = self.ask("/tools/find", {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}})
        return str(name)

    def find(self, modality: str) -> set[str]:
        """Return the SOP Instance UIDs of the study's instances of a modality, as C-FIND tells them."""
        ae = AE("SCU")
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        assoc = ae.associate(self.peer.host, self.peer.port, ae_title=self.peer.ae_title)
        assert assoc.is_established
        of_study = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": ""}
        found: set[str] = set()
        for series in _ask(assoc, **of_study, QueryRetrieveLevel="SERIES", Modality=modality):
            named = of_study | {"SeriesInstanceUID": series.SeriesInstanceUID, "SOPInstanceUID": ""}
            found |= {str(one.SOPInstanceUID) for one in _ask(assoc, **named, QueryRetrieveLevel="IMAGE")}
        assoc.release()
        return found

    def is_up(self) -> bool:
        """Return whether the REST API answers."""
        try:
            self.ask("/system")
        except URLError:
            return False
        return True


def dicomweb_plugin() -> Path:
    """Return where Orthanc's plugin for DICOMweb is, or skip the test."""
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    return plugin if plugin.exists() else without(f"{plugin} is not installed (make peers)")


@contextmanager
def running(folder: Path, *known: Peer, plugins: Sequence[Path] = (), **options: object) -> Iterator[Orthanc]:
    """Lend an Orthanc that keeps everything in `folder`, a new one, and takes what comes from anybody here.

    It knows where the peers `known` listen, and runs `plugins`; `options` go into its configuration.
    """
    pacs = prepared(folder, *known, plugins=plugins, **options)
    process = start(pacs, folder)
    try:
        yield pacs
    finally:
        process.kill()  # what it keeps goes with its folder; asked to end it takes seconds
        process.wait()


def prepared(folder: Path, *known: Peer, plugins: Sequence[Path] = (), **options: object) -> Orthanc:
    """Make `folder`, in which an Orthanc keeps everything and has its settings; return where it will listen."""
    folder.mkdir()
    pacs = Orthanc(
        peer=Peer(ae_title="ORTHANC", host="127.0.0.1", port=free_port()), url=f"http://127.0.0.1:{free_port()}"
    )
    settings = {
        "Name": "test",
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "DicomAet": pacs.peer.ae_title,
        "DicomPort": pacs.peer.port,
        "HttpPort": int(pacs.url.rsplit(":", 1)[1]),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {peer.ae_title: [peer.ae_title, peer.host, peer.port] for peer in known},
        "Plugins": [str(plugin) for plugin in plugins],
    } | options
    (folder / "orthanc.json").write_text(json.dumps(settings))
    return pacs


def start(pacs: Orthanc, folder: Path) -> "subprocess.Popen[bytes]":
    """Start the Orthanc that was prepared in `folder`; return its process once it answers."""
    program = require_program("Orthanc")
    with (folder / "orthanc.log").open("ab") as log:
        process = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log)
    try:
        until(pacs.is_up, 30)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def _ask(assoc: Association, **elements: str) -> list[Dataset]:
    query = Dataset()
    for keyword, value in elements.items():
        setattr(query, keyword, value)
    answers = assoc.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
    return [found for _, found in answers if found is not None]
