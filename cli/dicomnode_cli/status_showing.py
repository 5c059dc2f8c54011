"""Show where a node stands: as a document for programs, and as one screen for people."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dicomnode.domain import DeliveryState, FetchState, JobState, StudyState
from dicomnode.overview import Outlet, Overview, Process, findings, without_names
from dicomnode.store.summary import JobBrief, WaitingStudy
from dicomnode_cli import showing
from dicomnode_cli.rows import ago, plain, short

_BAD, _ODD, _DIM = "bold red", "yellow", "dim"
_LINES, _JOBS = 3, 2  # of each kind; all of it stands in --json
_GIB = 2**30


def document(seen: Overview) -> dict[str, Any]:
    """Return all of it for programs."""
    found = seen.summary
    stopped = [plain(job) | {"reason": _safe(job.reason)} for job in found.stopped]
    return {
        "at": plain(seen.at),
        "data_dir": str(seen.data_dir),
        "database_version": seen.version,
        "running": seen.running,
        "processes": [_process(one) for one in seen.processes],
        "associations": plain(found.associations),
        "studies": {"counts": _all(StudyState, found.studies), "waiting": [_study(one) for one in found.waiting]},
        "jobs": {
            "counts": _all(JobState, found.jobs),
            "oldest_ready": plain(found.oldest_ready),
            "running": plain(found.running),
            "stopped": stopped,
        },
        "destinations": [_outlet(one) for one in seen.outlets],
        "dead_letters": [plain(one) | {"reason": _safe(one.reason)} for one in found.dead],
        "fetches": {
            "counts": _all(FetchState, found.fetches),
            "open": [plain(one) | {"reason": _safe(one.reason)} for one in found.open_fetches],
        },
        "uid_conflicts": plain(found.conflicts),
        "disk": plain(seen.disk) | {"received_bytes": found.received_bytes, "instances": found.instances},
        "attention": plain(seen.attention),
    }


def screen(seen: Overview) -> RenderableType:
    """Return it for people: a line each, cut off where the screen ends; `--json` has all of it."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=len("trouble"))
    table.add_column()
    for title, lines in (
        ("node", _node_lines(seen)),
        ("trouble", _trouble_lines(seen)),
        ("data", _data_lines(seen)),
        ("studies", _study_lines(seen)),
        ("jobs", _job_lines(seen)),
        ("fetches", _fetch_lines(seen)),
        ("errors", _error_lines(seen)),
    ):
        for number, words in enumerate(lines):
            words.no_wrap, words.overflow = title != "trouble", "ellipsis"
            table.add_row("" if number else title, words)
    return Group(table, _outlets(seen)) if seen.outlets else table


def _process(process: Process) -> dict[str, Any]:
    facts = process.row.facts
    named = {name: facts.get(name) for name in ("pid", "host", "version", "ae_title", "port", "model")}
    told = {"id": process.row.executor_id, "role": process.row.role, "alive": process.problem is None}
    times = {"started_at": plain(process.row.started_at), "seen_at": plain(process.row.seen_at)}
    return {**told, "problem": process.problem, **named, **times}


def _study(study: WaitingStudy) -> dict[str, Any]:
    told: dict[str, Any] = plain(study)
    said = [{"for": one.supports, "words": one.words} for one in findings(study.evidence)]
    return told | {"reason": _safe(study.reason), "evidence": said}


def _outlet(outlet: Outlet) -> dict[str, Any]:
    queue, breaker = outlet.queue, outlet.queue.breaker
    return {
        "name": outlet.name,
        "kind": outlet.remote and outlet.remote.kind.value,
        "address": outlet.address,
        "down": outlet.down,
        "since": plain(breaker and breaker.since),
        "failures": breaker.failures if breaker else 0,
        "next_probe_at": plain(breaker and breaker.next_probe_at),
        "counts": _all(DeliveryState, queue.counts),
        "oldest_waiting": plain(queue.oldest),
        "next_at": plain(queue.next_at),
        "last_success_at": plain(_last_success(outlet)),
        "last_error": _safe((breaker and breaker.reason) or queue.last_error),
    }


def _all(states: Iterable[StrEnum], counts: Mapping[Any, int]) -> dict[str, int]:
    return {state.value: counts.get(state, 0) for state in states}


def _last_success(outlet: Outlet) -> datetime | None:
    breaker = outlet.queue.breaker
    return (breaker and breaker.last_success_at) or outlet.queue.last_delivered_at


def _safe(reason: str | None) -> str | None:
    return reason and without_names(reason)


def _node_lines(seen: Overview) -> Iterator[Text]:
    if not seen.processes:
        yield Text("no node runs", _BAD)
    for process in seen.processes:
        row, facts = process.row, process.row.facts
        port = f" on port {facts['port']}" if facts.get("port") else ""
        model = f", model {facts['model']}" if facts.get("model") else ""
        runs = f"runs for {ago(row.started_at, seen.at)}" if process.problem is None else process.problem
        who = f"{facts.get('ae_title') or row.role}{port}: "
        rest = f"{model}, dicomnode {facts.get('version', '?')}, process {facts.get('pid', '?')}"
        yield Text.assemble(who, (runs, "" if process.problem is None else _BAD), rest)
    open_: dict[str, int] = {}
    for one in seen.summary.associations:
        open_[one.peer_ae] = open_.get(one.peer_ae, 0) + 1
    if open_:
        callers = ", ".join(f"{peer} ({number})" for peer, number in open_.items())
        yield Text(f"{showing.count(len(seen.summary.associations), 'open association')}: {callers}")


def _data_lines(seen: Overview) -> Iterator[Text]:
    disk, found = seen.disk, seen.summary
    style = _BAD if disk.free < disk.stop else _ODD if disk.free < disk.clean else ""
    kept = f"{showing.count(found.instances, 'instance')}, {_gib(found.received_bytes)}; "
    yield Text.assemble(kept, (f"{_gib(disk.free)} free", style), f", receiving stops below {_gib(disk.stop)}")


def _study_lines(seen: Overview) -> Iterator[Text]:
    counts = ", ".join(f"{number} {state}" for state, number in seen.summary.studies.items())
    yield Text(counts or "none")
    alike: dict[tuple[StudyState, str], list[WaitingStudy]] = {}
    for study in seen.summary.waiting:
        alike.setdefault((study.state, showing.shape(_why(study))), []).append(study)
    for first, *others in list(alike.values())[:_LINES]:
        which = f"{len(others) + 1} {first.state}, the longest" if others else first.state.value
        yield Text(f"{which} for {ago(first.since, seen.at)} ({short(first.study_uid)}): {_why(first)}")
    if len(alike) > _LINES:
        yield Text(f"... and {showing.count(len(alike) - _LINES, 'more reason')}", _DIM)


def _why(study: WaitingStudy) -> str:
    """Return why the study waits: its reason, what was seen of it, or who still sends."""
    against = "; ".join(one.words for one in findings(study.evidence) if not one.supports)
    if study.reason or against:
        return _safe(study.reason) or against
    if study.open_associations:
        return f"{showing.count(study.open_associations, 'association')} may bring more"
    return "until it has been quiet for long enough"


def _job_lines(seen: Overview) -> Iterator[Text]:
    found = seen.summary
    counts = ", ".join(f"{number} {state}" for state, number in found.jobs.items())
    since = f"; the oldest is ready for {ago(found.oldest_ready, seen.at)}" if found.oldest_ready else ""
    yield Text((counts or "none") + since)
    for job in found.running[:_JOBS]:
        yield Text(f"{job.key[:12]} {job.state} for {ago(job.since, seen.at)}, attempt {job.attempts}")
    for job in found.stopped[:_JOBS]:
        yield _stopped(job, seen.at)


def _stopped(job: JobBrief, now: datetime) -> Text:
    style = _ODD if job.state is JobState.FAILED else ""
    reason = without_names(job.reason or "").removeprefix(f"job {job.key[:12]}: ")
    return Text.assemble(f"{job.key[:12]} ", (job.state.value, style), f" {ago(job.since, now)} ago: {reason}")


def _fetch_lines(seen: Overview) -> Iterator[Text]:
    for fetch in seen.summary.open_fetches[:_LINES]:
        why = f": {without_names(fetch.reason)}" if fetch.reason else ""
        what = f"for study {short(fetch.study_uid)}" if fetch.study_uid else fetch.origin
        yield Text(f"{what} {fetch.state} for {ago(fetch.created_at, seen.at)}, attempt {fetch.attempts}{why}")
    if len(seen.summary.open_fetches) > _LINES:
        yield Text(f"... and {len(seen.summary.open_fetches) - _LINES} more", _DIM)


def _trouble_lines(seen: Overview) -> Iterator[Text]:
    for one in seen.attention:
        yield Text(one.detail, _BAD)
    for conflict in seen.summary.conflicts[:1]:
        last = f"the last {ago(conflict.at, seen.at)} ago by {conflict.sender}, {short(conflict.sop_uid)}"
        yield Text(f"other bytes under a known UID came, {last}", _ODD)


def _error_lines(seen: Overview) -> Iterator[Text]:
    """Yield the last error of each destination that is not down: of one that is, it stands under trouble."""
    for outlet in seen.outlets:
        if outlet.queue.last_error and not outlet.down:
            yield Text(f"{outlet.name}: {without_names(outlet.queue.last_error)}")


def _outlets(seen: Overview) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("destination", overflow="fold")
    for heading in ("waiting", "sent", "verified", "dead"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("last taken", "next try"):
        table.add_column(heading, no_wrap=True)
    for outlet in seen.outlets:
        table.add_row(*_cells(outlet, seen.at))
    return table


def _cells(outlet: Outlet, now: datetime) -> Iterator[Text]:
    counts, breaker = outlet.queue.counts, outlet.queue.breaker
    state = " (down)" if outlet.down else "" if outlet.remote else " (not in the settings)"
    yield Text(outlet.name + state, _BAD if outlet.down else "")
    yield Text(str(counts.get(DeliveryState.WAITING, 0) + counts.get(DeliveryState.SENDING, 0)))
    yield Text(str(counts.get(DeliveryState.DELIVERED, 0)))
    yield Text(str(counts.get(DeliveryState.VERIFIED, 0)))
    dead = counts.get(DeliveryState.DEAD, 0)
    yield Text(str(dead), _BAD if dead else "")
    taken = _last_success(outlet)
    yield Text(f"{ago(taken, now)} ago" if taken else "-")
    next_at = breaker.next_probe_at if breaker and outlet.down else outlet.queue.next_at
    yield Text("-" if next_at is None else "now" if next_at <= now else f"in {ago(now, next_at)}")


def _gib(number: int) -> str:
    return f"{number / _GIB:.1f} GiB" if number >= _GIB // 10 else f"{number / 2**20:.1f} MiB"
