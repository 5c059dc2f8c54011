"""Show jobs and deliveries: as documents for programs, and as lines for people."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from dicomnode.overview import without_names
from dicomnode.store import records
from dicomnode.store.database import Database
from dicomnode.store.records import DeliveryRecord, JobRecord
from dicomnode_cli import showing
from dicomnode_cli.rows import ago, plain, short

_KEY = 12  # of a job's key
_NAMED_ABOVE = ("generation", "job", "jobs", "objects", "sop_uid", "study")  # what an event is of

Document = dict[str, Any]


def job_row(job: JobRecord) -> Document:
    """Return what lists say of a job."""
    told: Document = plain(job)
    stack, annotations = told.pop("inputs")["stack"], job.inputs["annotations"]
    told |= {"stack": stack["key"], "modality": stack["modality"], "planes": len(stack["planes"])}
    return told | {"annotation_uid": annotations[0][0], "reason": job.reason and without_names(job.reason)}


def job_document(database: Database, job: JobRecord, data_dir: Path) -> Document:
    """Return all that is known of a job."""
    told: Document = plain(job)
    inputs = told.pop("inputs")
    made = records.objects_of(database, job.key)
    sent = records.deliveries_of(database, [one.sop_uid for one in made])
    stack = inputs["stack"]
    images = list(dict.fromkeys(uid for uid, _, _ in stack["planes"]))
    happened = records.history(database, [job.key, *(one.sop_uid for one in made)], job.created_at)
    return told | {
        "stack": {**stack, "planes": len(stack["planes"]), "images": images},
        "annotation_uids": [uid for uid, _ in inputs["annotations"]],
        "elsewhere": inputs.get("elsewhere", []),
        "options": inputs["options"],
        "match": plain(records.match_of(database, job)),
        "objects": [
            {
                **plain(one),
                "file": str(data_dir / "spool" / one.key),
                "deliveries": [plain(row) for row in sent if row.sop_uid == one.sop_uid],
            }
            for one in made
        ],
        "history": plain(happened),
    }


def delivery_document(database: Database, sent: Sequence[DeliveryRecord], data_dir: Path) -> Document:
    """Return all that is known of the deliveries of one object."""
    first = sent[0]
    made = next(one for one in records.objects_of(database, first.job) if one.sop_uid == first.sop_uid)
    happened = records.history(database, [first.sop_uid], min(one.created_at for one in sent))
    return {
        **plain(made),
        "file": str(data_dir / "spool" / made.key),
        "job": first.job,
        "deliveries": plain(sent),
        "history": plain(happened),
    }


def print_jobs(found: Sequence[JobRecord], total: int, now: datetime, console: Console) -> None:
    """Print a line a job, and below it why it stands where it does."""
    for job in found:
        stack = job.inputs["stack"]
        what = f"{showing.tail(stack['modality'], stack['key'])}, {showing.count(len(stack['planes']), 'plane')}"
        tries = f"  {showing.count(job.attempts, 'attempt')}" if job.attempts > 1 else ""
        age = f"{ago(job.changed_at, now)} ago"
        _row(console, (job.key[:_KEY], f"{job.state:<9}", f"{age:<15}", what + tries), job.reason)
    _total(console, len(found), total, "job")


def print_deliveries(found: Sequence[DeliveryRecord], total: int, now: datetime, console: Console) -> None:
    """Print a line a delivery, and below it what went wrong."""
    for one in found:
        state = f"{one.state:<9}"
        age = f"{ago(one.created_at, now)} ago"
        later = f"  next try in {ago(now, one.next_at)}" if one.state.value == "waiting" and one.next_at > now else ""
        tries = f"  {showing.count(one.attempts, 'attempt')}" if one.attempts > 1 else ""
        name = f"{short(one.sop_uid):<13} {one.kind:<8}"
        _row(console, (name, state, f"{age:<15}", one.destination + tries + later), one.reason)
    _total(console, len(found), total, "delivery")


def print_job(document: Document, console: Console) -> None:
    """Print all that is known of a job."""
    stack = document["stack"]
    fields = {
        "job": document["key"],
        "state": _state(document),
        "study": f"{document['study_uid']}, generation {document['generation']}",
        "stack": f"{stack['modality']} {stack['key']}, {showing.count(stack['planes'], 'plane')}"
        f" of {showing.count(len(stack['images']), 'image')}",
        "annotation": ", ".join(document["annotation_uids"]),
        "means it by": document["match"] and f"{document['match']['rule']}: {document['match']['evidence']}",
        "asked for": _set(document["options"]),
        "created": f"{document['created_at']}, priority {document['priority']}",
        "changed": document["changed_at"],
        "supersedes": document["supersedes"],
        "superseded by": document["superseded_by"],
    }
    _fields(fields, console)
    for made in document["objects"]:
        _object(made, console)
    _history(document["history"], console)


def print_delivery(document: Document, console: Console) -> None:
    """Print all that is known of the deliveries of one object."""
    _object(document, console)
    _fields({"job": document["job"]}, console)
    _history(document["history"], console)


def _row(console: Console, cells: Sequence[str], reason: str | None) -> None:
    showing.line(console, "  ".join(cells))
    if reason:
        showing.line(console, f"    {without_names(reason)}")


def _total(console: Console, shown: int, total: int, noun: str) -> None:
    words = {"job": "jobs", "delivery": "deliveries"}[noun]
    if not total:
        showing.line(console, f"there are no such {words}")
    elif shown < total:
        showing.line(console, f"... and {total - shown} more {words}; --limit shows more")


def _state(row: Mapping[str, Any]) -> str:
    why = f": {row['reason']}" if row["reason"] else ""
    tries = f" after {showing.count(row['attempts'], 'attempt')}" if row["attempts"] else ""
    return f"{row['state']}{tries}{why}"


def _set(options: Mapping[str, Any]) -> str:
    """Return what is asked for besides nothing."""
    return ", ".join(f"{name} {_said(value)}" for name, value in options.items() if value not in (None, False, [], ""))


def _said(value: Any) -> str:  # noqa: ANN401 - JSON
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _fields(fields: Mapping[str, str | None], console: Console) -> None:
    for name, value in fields.items():
        if value:
            showing.line(console, f"{name:<14} {value}")


def _object(made: Document, console: Console) -> None:
    kind = f"{made['kind']} ({made['alternative']})" if made["alternative"] else made["kind"]
    _fields({"object": f"{kind} {made['sop_uid']}", "": made["file"]}, console)
    for row in made["deliveries"]:
        proof = f", proven by {row['proof']}" if row["proof"] else ""
        later = f", next try {row['next_at']}" if row["state"] == "waiting" else ""
        showing.line(console, f"  to {row['destination']}: {_state(row)}{proof}{later}")


def _history(happened: Sequence[Document], console: Console) -> None:
    for event in happened:
        told = {name: value for name, value in event["details"].items() if name not in _NAMED_ABOVE}
        showing.line(console, f"{event['at']}  {event['what']} by {event['who']}  {_set(told)}".rstrip())
