"""Pull objects of a source of the settings on somebody's command."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from dicomnode.domain import AssociationEnd, FetchState, Uid, Wanted
from dicomnode.errors import Reason, Refused, SettingsError, Unavailable
from dicomnode.fetching import Errand, do_fetch
from dicomnode.network.admission import Caller, Limits
from dicomnode.network.facts import named
from dicomnode.network.listener import Hooks, Listener
from dicomnode.network.listing import listing
from dicomnode.network.part10 import StoreRequest, header_of
from dicomnode.network.portions import Portion, Recipient
from dicomnode.network.sources import Source
from dicomnode.network.storing import Chunk, Intake
from dicomnode.settings import Settings
from dicomnode.settings.load import did_you_mean
from dicomnode.sources import sources_of
from dicomnode.store import associations, fetches
from dicomnode.store.database import Database
from dicomnode.store.desk import Desk
from dicomnode.store.lock import Taken, locked
from dicomnode.store.spool import Spool
from dicomnode.wiring import intake_of

COMMAND = "command"  # the origin of what somebody pulls

_LOOK_EVERY = 0.2  # seconds
_PATIENCE = 10.0  # seconds that open associations have to end

Show = Callable[[str, int, int], None]  # doing what, done, total


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesPulled:
    """How many objects of a series the source has, and how many of them are here; `kinds` are their SOP classes."""

    study_uid: Uid
    series_uid: Uid
    kinds: tuple[str, ...]
    found: int
    here: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """What came of a pull: `found` objects at the source, `here` of them here, and why not the others.

    `state` is that of the fetch of a node, whose number is `fetch`; without a node it is done or failed.
    """

    source: str
    state: FetchState
    found: int
    here: int
    reason: str | None = None
    fetch: int | None = None
    series: tuple[SeriesPulled, ...] = ()


def source_called(settings: Settings, name: str) -> Source:
    """Return the source `name` of `settings`."""
    sources = {source.name: source for source in sources_of(settings)}
    if name not in sources:
        detail = f"there is no source {name!r}{did_you_mean(name, list(sources)) or '; there are none in the settings'}"
        raise SettingsError("sources", detail)
    return sources[name]


def pull_to_folder(settings: Settings, name: str, wanted: Wanted, folder: Path, show: Show) -> Pulled:
    """Retrieve `wanted` of the source `name` into `folder`, as STUDY/SERIES/INSTANCE.dcm; what is there stays."""
    source = source_called(settings, name)
    show("asking", 0, 1)
    found = listing(source.search, wanted)
    paths = {
        uid: folder / portion.study_uid / portion.series_uid / f"{uid}.dcm"
        for portion in found.portions
        for uid in portion.objects
    }

    def told() -> None:
        show("retrieving", sum(path.exists() for path in paths.values()), len(paths))

    missing = [_without(portion, paths) for portion in found.portions]
    recipient = Recipient(opened=_no_number, closed=_no_end, intake=Intake(receive=partial(_save, paths)))
    with _listening(settings, source, recipient):
        source.retrieve([portion for portion in missing if portion.objects], recipient, told)
    here = sum(path.exists() for path in paths.values())
    lacking = [f"it did not give {len(paths) - here} of {len(paths)} objects"] if here < len(paths) else []
    lacking += [f"it does not have {', '.join(found.unknown)}"] if found.unknown else []
    return Pulled(
        source=name,
        state=FetchState.FAILED if lacking else FetchState.DONE,
        found=len(paths),
        here=here,
        reason=f"{name}: {' and '.join(lacking)}" if lacking else None,
        series=tuple(_pulled(portion, paths) for portion in found.portions),
    )


def pull_to_node(settings: Settings, name: str, wanted: Wanted, show: Show, *, wait: bool = True) -> Pulled:
    """Let the node fetch `wanted` of the source `name`, and wait for it; where none runs, do it in its place.

    What is to be tried again later is left to the node: to the next one where none runs.
    """
    source = source_called(settings, name)
    with _opened(settings) as desk:
        expires_at = desk.database.now() + timedelta(hours=settings.readiness.expire_hours)
        number = fetches.ask(desk.database, wanted, origin=COMMAND, source=name, expires_at=expires_at)
        if wait:
            try:
                with locked(settings.node.data_dir):
                    _do(settings, desk, number, source)
            except Taken:
                _wait_for(desk.database, number, show)
        row = fetches.fetch_of(desk.database, number)
    if row is None:
        raise Unavailable(f"fetch {number} is gone")
    return Pulled(
        source=name, state=row.state, found=row.found or 0, here=row.kept or 0, reason=row.reason, fetch=number
    )


def _do(settings: Settings, desk: Desk, number: int, source: Source) -> None:
    """Do the fetch as the node would."""
    fetches.recover(desk.database)
    recipient = Recipient(
        opened=partial(associations.open_association, desk.database),
        closed=partial(associations.close_association, desk.database),
        intake=intake_of(settings, desk),
    )
    with _listening(settings, source, recipient):
        do_fetch(desk, number, Errand(sources=(source,), intake=recipient.intake))


def _wait_for(database: Database, number: int, show: Show) -> None:
    """Return once the node has done the fetch, or has put it off."""
    while True:
        row = fetches.fetch_of(database, number)
        if row is None or row.state in (FetchState.DONE, FetchState.FAILED):
            return
        if row.state is FetchState.WAITING and row.reason is not None:
            return
        show("retrieving" if row.found is not None else "asking", row.kept or 0, row.found or 1)
        time.sleep(_LOOK_EVERY)


@contextmanager
def _opened(settings: Settings) -> Iterator[Desk]:
    """Lend database and spool of the data folder, which others may use at the same time."""
    data_dir = settings.node.data_dir
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"the data folder {data_dir} cannot be made: {error.strerror}") from error
    database = Database(data_dir / "dicomnode.sqlite")
    with ExitStack() as opened:
        opened.callback(database.close)
        database.upgrade()
        yield Desk(database=database, spool=Spool(data_dir / "spool"), destinations={})


@contextmanager
def _listening(settings: Settings, source: Source, recipient: Recipient) -> Iterator[None]:
    """Listen as the node does while this lasts, if `source` sends to where the node listens."""
    if not source.pushes:
        yield
        return

    def opened(caller: Caller) -> int:
        return recipient.opened(caller.calling_ae)

    takes, asked = recipient.intake, settings.listener
    hooks = Hooks(opened=opened, closed=recipient.closed, receive=takes.receive, room=takes.room)
    limits = Limits(idle_seconds=asked.idle_seconds, max_pdu_bytes=asked.max_pdu_bytes)
    if takes.max_bytes is not None:
        limits = replace(limits, max_object_bytes=takes.max_bytes)
    address = (settings.listener.host, settings.listener.port)
    listener = Listener(settings.node.ae_title, address, hooks, limits=limits)
    listener.start()
    try:
        yield
    finally:
        listener.stop(_PATIENCE)


def _no_number(_peer_ae: str) -> int:
    return 0


def _no_end(_number: int, _ended: AssociationEnd) -> None:
    pass


def _without(portion: Portion, paths: dict[Uid, Path]) -> Portion:
    """Return what of `portion` is not there yet."""
    objects = {uid: name for uid, name in portion.objects.items() if not paths[uid].exists()}
    whole = portion.whole and len(objects) == len(portion.objects)
    return Portion(study_uid=portion.study_uid, series_uid=portion.series_uid, objects=objects, whole=whole)


def _save(paths: dict[Uid, Path], request: StoreRequest, data_set: Iterable[Chunk]) -> None:
    path = paths.get(request.sop_instance_uid)
    if path is None:
        raise Refused(Reason.NOT_SELECTED, f"object {request.sop_instance_uid}", "it was not asked for")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(b"".join([header_of(request), *data_set]))
    part.rename(path)


def _pulled(portion: Portion, paths: dict[Uid, Path]) -> SeriesPulled:
    kinds = Counter(named(name).name if name else "not told" for name in portion.objects.values())
    return SeriesPulled(
        study_uid=portion.study_uid,
        series_uid=portion.series_uid,
        kinds=tuple(kinds),
        found=len(portion.objects),
        here=sum(paths[uid].exists() for uid in portion.objects),
    )
