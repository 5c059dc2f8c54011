"""`dicomnode jobs`: list, show, retry and cancel the node's jobs."""

from collections.abc import Sequence
from typing import Annotated

import typer

from dicomnode.domain import JobState
from dicomnode.store import records
from dicomnode.store.commands import Changed, cancel_jobs, retry_jobs
from dicomnode.store.database import Database
from dicomnode.store.records import JobRecord, Wish
from dicomnode_cli import node_rows, records_showing, rows, showing
from dicomnode_cli.options import ConfigOption
from dicomnode_cli.rows import JsonOption, LimitOption, StudyOption

app = typer.Typer(help="List, show, retry and cancel the node's jobs.", no_args_is_help=True, add_completion=False)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="A job's key, or its beginning.")]
KeysArgument = Annotated[list[str] | None, typer.Argument(metavar="KEY...", help="Keys of jobs, or their beginnings.")]


@app.command("list")
def list_(
    *,
    state: Annotated[
        list[JobState] | None,
        typer.Option("--state", metavar="STATE", help=f"Only these: {', '.join(JobState)}; may be repeated."),
    ] = None,
    study: StudyOption = None,
    limit: LimitOption = rows.LIMIT,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List jobs, those that changed last first."""
    wish = Wish(states=tuple(one.value for one in state or ()), study_uid=study, limit=limit)
    with node_rows.node_database(config) as (database, _):
        found, total = records.list_jobs(database, wish)
        now = database.now()
    if as_json:
        showing.write_json({"jobs": [records_showing.job_row(one) for one in found], "total": total})
    else:
        records_showing.print_jobs(found, total, now, rows.console())


@app.command()
def show(key: KeyArgument, *, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Say everything that is known of a job: what it is made of, why, what happened to it, what it made.

    Unlike `list` it prints the names of regions as somebody typed them.
    """
    with node_rows.node_database(config) as (database, settings):
        document = records_showing.job_document(database, _named(database, key), settings.node.data_dir)
    if as_json:
        showing.write_json(document)
    else:
        records_showing.print_job(document, rows.console())


@app.command()
def retry(
    keys: KeysArgument = None,
    *,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="Retry every job that failed, none refused.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let jobs that were refused, failed or cancelled be tried again, as if they had never been.

    A running node begins by itself, a stopped one after its start. Exit code 4 where one of them is in another state.
    """
    if bool(keys) == all_failed:
        raise typer.BadParameter("give either keys or --all-failed", param_hint="KEY")
    with node_rows.node_database(config) as (database, _):
        failed = records.list_jobs(database, Wish(states=(JobState.FAILED.value,)))[0] if all_failed else ()
        wanted = [one.key for one in failed or (_named(database, key) for key in keys or ())]
        changed = retry_jobs(database, wanted, node_rows.user())
    _tell(changed, "ready", as_json=as_json)


@app.command()
def cancel(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys of jobs, or their beginnings.")],
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Cancel jobs that are ready or running; one that runs is broken off.

    Exit code 4 where one of them is in another state.
    """
    with node_rows.node_database(config) as (database, _):
        wanted = [_named(database, key).key for key in keys]
        changed = cancel_jobs(database, wanted, node_rows.user())
    _tell(changed, "cancelled", as_json=as_json)


def _named(database: Database, start: str) -> JobRecord:
    """Return the one job whose key begins with `start`."""
    found = records.jobs_like(database, start)
    if len(found) == 1:
        return found[0]
    problem = (
        f"{start!r} begins the keys of several jobs: give more of it" if found else f"no job's key begins {start!r}"
    )
    raise typer.BadParameter(problem, param_hint="KEY")


def _tell(changed: Sequence[Changed], after: str, *, as_json: bool) -> None:
    node_rows.tell_changed(
        [{"key": one.name, **node_rows.change(one)} for one in changed],
        "jobs",
        lambda row: row["key"][:12],
        after,
        as_json=as_json,
    )
