"""Make the parts of a node of its settings: what listens, what delivers, what fetches."""

import random
from collections.abc import Callable, Sequence
from functools import partial

from dicomnode import listening
from dicomnode.counting import Count
from dicomnode.domain import CommitmentReport
from dicomnode.fetching import Errand, count
from dicomnode.listeners import Listeners
from dicomnode.listening import Listening
from dicomnode.network import commitment
from dicomnode.network.admission import Limits, Ways
from dicomnode.network.associations import Peer
from dicomnode.network.listener import Listener, Service
from dicomnode.network.storing import Intake
from dicomnode.queue.committing import Reporter, take
from dicomnode.queue.courier import Courier
from dicomnode.queue.proving import hear
from dicomnode.settings import Settings, reach
from dicomnode.sources import sources_of
from dicomnode.store.associations import Most
from dicomnode.store.desk import Desk
from dicomnode.store.disk import Disk

_GIB = 2**30


def courier_of(settings: Settings, desk: Desk) -> Courier:
    """Return what delivers to the destinations of `settings`."""
    return Courier(
        desk=desk,
        destinations=reach.destinations(settings),
        policy=reach.policy(settings.delivery),
        chance=random.random,
    )


def reporter_of(settings: Settings) -> Reporter:
    """Return what reports to the peers of `settings` what this node commits to."""

    def report(peer: Peer, found: CommitmentReport) -> None:
        commitment.report(peer, settings.node.ae_title, found)

    return Reporter(peers=reach.known_peers(settings), report=report)


def errand_of(settings: Settings, desk: Desk, stopped: Callable[[], bool]) -> Errand:
    """Return what fetches from the sources of `settings`."""
    return Errand(sources=sources_of(settings), intake=intake_of(settings, desk), stopped=stopped)


def intake_of(settings: Settings, desk: Desk) -> Intake:
    """Return what keeps in `desk` what is fetched: as what is sent, within the limits of `settings`."""
    return listening.intake(_listening(settings), desk, Disk(settings.node.data_dir))


def count_of(settings: Settings) -> Count | None:
    """Return what tells how many objects of a study the sources of `settings` have, None where none is to be asked."""
    asked = [source for source in sources_of(settings) if source.count]
    return partial(count, sources=asked) if asked else None


def listener_of(settings: Settings, desk: Desk) -> Listener | Listeners:
    """Return what listens as `settings` say, in this process or in several."""
    how, data_dir, services = _listening(settings), settings.node.data_dir, partial(_services, settings)
    if settings.listener.processes == 1:
        return listening.listener(how, desk, Disk(data_dir), services=services(desk))
    return Listeners(how, desk, processes=settings.listener.processes, services=services)


def _services(settings: Settings, desk: Desk) -> Sequence[Service]:
    """Return what is offered beside C-ECHO and C-STORE."""
    courier = courier_of(settings, desk)
    asked = partial(take, courier) if settings.listener.storage_commitment else None
    return [commitment.service(commitment.Hooks(reported=partial(hear, courier), asked=asked))]


def _listening(settings: Settings) -> Listening:
    """Return how `settings` say that the node listens."""
    asked = settings.listener
    return Listening(
        ae_title=settings.node.ae_title,
        host=asked.host,
        port=asked.port,
        limits=Limits(
            max_associations=asked.max_associations,
            max_pdu_bytes=asked.max_pdu_bytes,
            idle_seconds=asked.idle_seconds,
            max_object_bytes=int(asked.max_object_gib * _GIB),
            check_called_ae=asked.require_called_ae_title,
            calling_ae_titles=tuple(asked.calling_ae_titles),
            ways=Ways(fast=asked.fast, unrestricted=asked.unrestricted),
        ),
        most=Most(in_all=asked.max_associations, of_a_peer=asked.max_associations_per_peer),
        strict=asked.strict,
        free_bytes=int(settings.storage.stop_free_gib * _GIB),
    )
