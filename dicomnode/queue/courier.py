"""Who delivers: rows and files, destinations, and when what is tried again; and how that is told in the log."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dicomnode.domain import Chance, DeliveryPolicy, SopReference
from dicomnode.network.destinations import Destination, Parcel
from dicomnode.store.deliveries import DeliveryRow
from dicomnode.store.desk import Desk

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Courier:
    """What is needed to deliver: rows and files, each destination by its name, and when what is tried again."""

    desk: Desk
    destinations: Mapping[str, Destination]
    policy: DeliveryPolicy
    chance: Chance

    def wait(self, failures: int) -> timedelta:
        """Return how long to wait after so many failures in a row."""
        return self.policy.backoff.after(failures, self.chance)

    def parcel(self, row: DeliveryRow) -> Parcel:
        """Return what is sent for a delivery."""
        return Parcel(
            path=self.desk.spool.path(row.key),
            named=SopReference(row.sop_class_uid, row.sop_uid),
            syntaxes=self.desk.destinations[row.destination].syntaxes(row),
        )


def attending(destination: str) -> str:
    """Return the name of the sweep that attends to a destination."""
    return f"destination {destination}"


def about(row: DeliveryRow, action: str) -> dict[str, Any]:
    """Return what goes with a line in the log on a delivery."""
    return {"action": action, "object": row.sop_uid, "destination": row.destination, "attempts": row.attempts}


def tell_opened(destination: str) -> None:
    """Log that a destination is left alone from now on."""
    told = {"action": "destination_open", "destination": destination}
    log.error("a destination is left alone until a probe succeeds", extra=told)
