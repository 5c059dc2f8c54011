"""`dicomnode deliveries`: list, show and retry what the node sends."""

from typing import Annotated

import typer

from dicomnode.domain import DeliveryState
from dicomnode.store import records
from dicomnode.store.commands import replay_deliveries
from dicomnode.store.database import Database
from dicomnode.store.records import DeliveryRecord, Wish
from dicomnode_cli import node_rows, records_showing, rows, showing
from dicomnode_cli.options import ConfigOption
from dicomnode_cli.rows import JsonOption, LimitOption, StudyOption

app = typer.Typer(help="List, show and retry what the node sends.", no_args_is_help=True, add_completion=False)

DestinationOption = Annotated[
    str | None, typer.Option("--destination", metavar="NAME", help="Only to this destination.")
]


@app.command("list")
def list_(
    *,
    destination: DestinationOption = None,
    state: Annotated[
        list[DeliveryState] | None,
        typer.Option("--state", metavar="STATE", help=f"Only these: {', '.join(DeliveryState)}; may be repeated."),
    ] = None,
    study: StudyOption = None,
    limit: LimitOption = rows.LIMIT,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List deliveries, one an object and destination, the newest first."""
    states = tuple(one.value for one in state or ())
    wish = Wish(states=states, study_uid=study, destination=destination, limit=limit)
    with node_rows.node_database(config) as (database, _):
        found, total = records.list_deliveries(database, wish)
        now = database.now()
    if as_json:
        showing.write_json({"deliveries": rows.plain(found), "total": total})
    else:
        records_showing.print_deliveries(found, total, now, rows.console())


@app.command()
def show(
    uid: Annotated[str, typer.Argument(metavar="UID", help="An object's SOP Instance UID, or its ending.")],
    *,
    destination: DestinationOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Say everything that is known of the deliveries of an object: tries, errors, proof, and what happened."""
    with node_rows.node_database(config) as (database, settings):
        sent = _of(database, uid, destination)
        document = records_showing.delivery_document(database, sent, settings.node.data_dir)
    if as_json:
        showing.write_json(document)
    else:
        records_showing.print_delivery(document, rows.console())


@app.command()
def retry(
    uids: Annotated[
        list[str] | None,
        typer.Argument(metavar="UID...", help="SOP Instance UIDs of objects, or their endings."),
    ] = None,
    *,
    dead: Annotated[bool, typer.Option("--dead", help="Retry every dead delivery.")] = False,
    destination: DestinationOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let dead deliveries be sent again, once what was wrong is mended.

    A running node sends them by itself, a stopped one after its start. Exit code 4 where one of them is not dead.
    """
    if bool(uids) == dead:
        raise typer.BadParameter("give either UIDs or --dead", param_hint="UID")
    with node_rows.node_database(config) as (database, _):
        if dead:
            wish = Wish(states=(DeliveryState.DEAD.value,), destination=destination)
            wanted = records.list_deliveries(database, wish)[0]
        else:
            wanted = tuple(one for uid in uids or () for one in _meant(_of(database, uid, destination)))
        changed = replay_deliveries(database, [(one.sop_uid, one.destination) for one in wanted], node_rows.user())
    node_rows.tell_changed(
        [{"sop_uid": one.name, "destination": one.destination, **node_rows.change(one)} for one in changed],
        "deliveries",
        lambda row: f"{rows.short(row['sop_uid'])} to {row['destination']}",
        "waiting",
        as_json=as_json,
    )


def _of(database: Database, ending: str, destination: str | None) -> tuple[DeliveryRecord, ...]:
    """Return the deliveries of the one object whose UID ends with `ending`, also as the lists shorten it."""
    found = records.objects_like(database, ending.removeprefix("..."))
    if len(found) != 1:
        problem = (
            f"the UIDs of several objects end with {ending!r}" if found else f"no object's UID ends with {ending!r}"
        )
        raise typer.BadParameter(problem, param_hint="UID")
    sent = [one for one in records.deliveries_of(database, found) if destination in (None, one.destination)]
    if not sent:
        where = f"to {destination}" if destination else "anywhere"
        raise typer.BadParameter(f"object {found[0]} is not sent {where}", param_hint="UID")
    return tuple(sent)


def _meant(sent: tuple[DeliveryRecord, ...]) -> tuple[DeliveryRecord, ...]:
    """Return those of an object's deliveries that are meant to be retried: the dead, or all, to be told why not."""
    return tuple(one for one in sent if one.state is DeliveryState.DEAD) or sent
