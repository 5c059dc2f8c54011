from datetime import timedelta
from pathlib import Path

from dicomnode.domain import Proof, ProvenBy
from dicomnode.network.associations import Peer
from dicomnode.network.destinations import DicomDestination
from dicomnode.network.folder import FolderDestination
from dicomnode.network.stow import StowDestination
from dicomnode.settings import Delivery, Destination, DestinationKind, Node, Settings, Source, SourceKind, reach

PACS = Destination(name="pacs", ae_title="PACS", host="pacs.example.org", port=104, proof=Proof.COMMITMENT)
WEB = Destination(name="web", kind=DestinationKind.STOW, url="http://web.example.org/dicom-web")
FOLDER = Destination(name="folder", kind=DestinationKind.FOLDER, path=Path("/results"))
SETTINGS = Settings(
    node=Node(data_dir=Path("/data"), ae_title="HERE"),
    destinations=(PACS, WEB, FOLDER),
    sources=(
        Source(name="archive", ae_title="ARCHIVE", host="archive.example.org", port=105),
        Source(name="again", ae_title="PACS", host="elsewhere.example.org", port=106),
        Source(name="web", kind=SourceKind.DICOMWEB, url="http://web.example.org/dicom-web"),
    ),
)


def test_each_kind_of_destination_is_reached_in_its_way() -> None:
    found = reach.destinations(SETTINGS)
    pacs, web, folder = found["pacs"], found["web"], found["folder"]
    assert isinstance(pacs, DicomDestination)
    assert (pacs.peer, pacs.calling_ae) == (Peer(ae_title="PACS", host="pacs.example.org", port=104), "HERE")
    assert (pacs.proof, pacs.commits, pacs.keeps_by) == (Proof.COMMITMENT, True, ProvenBy.QUERY)
    assert isinstance(web, StowDestination)
    assert (web.peer.url, web.proof, web.commits) == ("http://web.example.org/dicom-web", Proof.AUTO, False)
    assert isinstance(folder, FolderDestination)
    assert (folder.path, folder.keeps_by) == (Path("/results"), ProvenBy.CONTENT)


def test_who_listens_where_is_known_by_the_ae_title_and_a_destination_counts_first() -> None:
    assert {name: peer.host for name, peer in reach.known_peers(SETTINGS).items()} == {
        "PACS": "pacs.example.org",
        "ARCHIVE": "archive.example.org",
    }


def test_the_policy_is_what_the_settings_say() -> None:
    policy = reach.policy(Delivery(first_retry_seconds=1.5, give_up_days=2.0, proof_attempts=3))
    assert policy.backoff.after(1, lambda: 0.0) == timedelta(seconds=1.5)
    assert (policy.give_up, policy.proof_attempts) == (timedelta(days=2), 3)
