"""Report to others what this node commits to keep, as they asked (PS3.4 annex J)."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dicomnode.domain import CommitmentReport, CommitmentState
from dicomnode.errors import Refused, Unavailable
from dicomnode.network.associations import Peer
from dicomnode.network.commitment import Request
from dicomnode.queue.courier import Courier
from dicomnode.store import commitments
from dicomnode.store.commitments import CommitmentRow

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reporter:
    """Where those listen whose AE titles are known, and how one is told."""

    peers: Mapping[str, Peer]
    report: Callable[[Peer, CommitmentReport], None]


def take(courier: Courier, request: Request, peer: tuple[str, str]) -> None:
    """Record what `peer`, an AE title and an address, asks for: it is reported later."""
    commitments.ask(courier.desk.database, request.transaction_uid, peer, request.objects)
    told = {"action": "commitment_asked", "peer": peer[0], "objects": len(request.objects)}
    log.info("a peer asks for storage commitment", extra=told)


def report_next(courier: Courier, reporter: Reporter) -> bool:
    """Report on one request that is due; return whether there was one."""
    database = courier.desk.database
    for row in commitments.due(database)[:1]:
        peer = reporter.peers.get(row.peer_ae)
        if peer is None:
            reason = f"no destination or source of the settings says where {row.peer_ae} at {row.peer_host} listens"
            _give_up(courier, row, reason)
            return True
        report = commitments.judge(database, courier.desk.spool, row)
        try:
            reporter.report(peer, report)
        except Unavailable as error:
            _later(courier, row, str(error))
        except Refused as error:
            _give_up(courier, row, str(error))
        except Exception as error:
            log.exception("a report failed", extra=_about(row, "commitment_failed"))
            _later(courier, row, f"a bug: {type(error).__name__}: {error}")
        else:
            commitments.settle(database, row, CommitmentState.REPORTED)
            told = _about(row, "commitment_reported") | {"failed": len(report.failed)}
            log.info("a peer is told what is kept of what it asked for", extra=told)
        return True
    return False


def _later(courier: Courier, row: CommitmentRow, reason: str) -> None:
    now = courier.desk.database.now()
    if now - row.created_at >= courier.policy.give_up:
        _give_up(courier, row, reason)
        return
    wait = courier.wait(row.attempts + 1)
    commitments.put_back(courier.desk.database, row, now + wait, reason)
    told = _about(row, "commitment_postponed") | {"seconds": round(wait.total_seconds(), 1)}
    log.warning("a peer will be told later what is kept: %s", reason, extra=told)


def _give_up(courier: Courier, row: CommitmentRow, reason: str) -> None:
    commitments.settle(courier.desk.database, row, CommitmentState.GIVEN_UP, reason)
    log.error("a peer is not told what is kept: %s", reason, extra=_about(row, "commitment_given_up"))


def _about(row: CommitmentRow, action: str) -> dict[str, Any]:
    return {"action": action, "peer": row.peer_ae, "objects": len(row.objects)}
