"""Make of the settings what reaches other systems: destinations, and where whoever calls listens itself."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.domain import Backoff, DeliveryPolicy
from dicomnode.network.associations import Peer
from dicomnode.network.destinations import Destination as Reached
from dicomnode.network.destinations import DicomDestination
from dicomnode.network.folder import FolderDestination
from dicomnode.network.stow import StowDestination
from dicomnode.network.web import WebPeer
from dicomnode.settings.remotes import Destination, DestinationKind, Source
from dicomnode.settings.tables import Delivery, Settings


def destinations(settings: Settings) -> dict[str, Reached]:
    """Return what reaches each destination, by its name."""
    return {to.name: destination(to, settings.node.ae_title) for to in settings.destinations}


def destination(to: Destination, calling_ae: str) -> Reached:
    """Return what reaches the destination `to`."""
    match to.kind:
        case DestinationKind.DICOM:
            return DicomDestination(peer=peer_of(to), calling_ae=calling_ae, encode=in_syntax, proof=to.proof)
        case DestinationKind.STOW:
            return StowDestination(peer=web_peer_of(to), encode=in_syntax, proof=to.proof)
        case DestinationKind.FOLDER:
            return FolderDestination(path=to.path or Path(), encode=in_syntax, proof=to.proof)


def peer_of(remote: Destination | Source) -> Peer:
    """Return where a destination or source listens that is a DICOM peer: its settings were checked."""
    return Peer(ae_title=remote.ae_title or "", host=remote.host or "", port=remote.port or 0)


def web_peer_of(remote: Destination | Source) -> WebPeer:
    """Return where a destination or source is that is a DICOMweb service: its settings were checked."""
    return WebPeer(url=remote.url or "", authorization_file=remote.authorization_file)


def known_peers(settings: Settings) -> Mapping[str, Peer]:
    """Return the DICOM peers of the settings by their AE titles; the first of several counts."""
    remotes: tuple[Destination | Source, ...] = (*settings.destinations, *settings.sources)
    return {one.ae_title: peer_of(one) for one in reversed(remotes) if one.ae_title and one.port}


def policy(delivery: Delivery) -> DeliveryPolicy:
    """Return when what of a delivery is tried again, and given up."""
    first, longest = delivery.first_retry_seconds, delivery.longest_retry_seconds
    return DeliveryPolicy(
        backoff=Backoff(first=timedelta(seconds=first), longest=timedelta(seconds=longest)),
        give_up=timedelta(days=delivery.give_up_days),
        breaker_failures=delivery.breaker_failures,
        probe=timedelta(seconds=delivery.probe_seconds),
        proof=timedelta(seconds=delivery.proof_seconds),
        proof_attempts=delivery.proof_attempts,
    )
