"""Make of the settings the sources that are asked."""

from dicomnode.network.associations import Peer
from dicomnode.network.sources import DicomSource, Source, WebSource
from dicomnode.network.web import WebPeer
from dicomnode.settings import Retrieve, Settings, SourceKind
from dicomnode.settings import Source as SourceTable


def sources_of(settings: Settings) -> tuple[Source, ...]:
    """Return the sources of `settings`, in their order."""
    return tuple(_source(table, settings.node.ae_title) for table in settings.sources)


def _source(table: SourceTable, calling_ae: str) -> Source:
    match table.kind:
        case SourceKind.DICOM:
            return DicomSource(
                name=table.name,
                peer=Peer(ae_title=table.ae_title or "", host=table.host or "", port=table.port or 0),
                calling_ae=calling_ae,
                pushes=table.retrieve is Retrieve.C_MOVE,
                fetch=table.fetch,
                count=table.count,
            )
        case SourceKind.DICOMWEB:
            peer = WebPeer(url=table.url or "", authorization_file=table.authorization_file)
            return WebSource(name=table.name, peer=peer, fetch=table.fetch, count=table.count)
