"""Rows of a node's tables as they stand at some moment, however they came to be."""

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from sqlalchemy import Table, insert

from dicomnode.store import tables
from dicomnode.store.database import Database
from dicomnode_cli.main import main


def put(database: Database, table: Table, **values: object) -> None:
    """Insert one row."""
    with database.write() as connection:
        connection.execute(insert(table).values(values))


def study(database: Database, study_uid: str = "1.2", state: str = "dispatched", **values: object) -> None:
    """Insert a study."""
    now = database.now()
    stands = {"study_uid": study_uid, "state": state, "last_instance_at": now, "changed_at": now, "generation": 1}
    put(database, tables.study, **(stands | values))


def job(database: Database, key: str, state: str = "done", **values: object) -> None:
    """Insert a job on two planes of study 1.2, which is there."""
    now = database.now()
    stack: dict[str, object] = {"key": "1.2.3/1", "series_uid": "1.2.3", "study_uid": "1.2", "modality": "CT"}
    stack |= {"frame_of_reference_uid": "1.2.9", "split": []}
    planes = [["1.2.3.1", "aa", None], ["1.2.3.2", "ab", None]]
    inputs = {"stack": stack | {"planes": planes}, "annotations": [["1.2.4.1", "bb"]], "elsewhere": ["3"]}
    inputs |= {"options": {"roi": "liver", "margin_mm": 0.0}}
    stands = {"job_key": key, "study_uid": "1.2", "generation": 1, "state": state, "attempts": 1, "inputs": inputs}
    put(database, tables.job, **(stands | {"created_at": now, "changed_at": now} | values))


def artifact(database: Database, sop_uid: str, key: str) -> None:
    """Insert a SEG that the job `key` made."""
    seg = {"sop_uid": sop_uid, "job_key": key, "kind": "SEG", "sop_class_uid": "1.2.840.10008.5.1.4.1.1.66.4"}
    put(database, tables.artifact, **seg, key=f"outbox/{sop_uid}.dcm", sha256="dd", alternative="BINARY")


def delivery(database: Database, sop_uid: str, destination: str, key: str, state: str, **values: object) -> None:
    """Insert the delivery of an object that the job `key` made."""
    now = database.now()
    stands = {"sop_uid": sop_uid, "destination": destination, "job_key": key, "state": state, "attempts": 1}
    put(database, tables.delivery, **(stands | {"next_at": now, "created_at": now} | values))


def breaker(database: Database, name: str, state: str, **values: object) -> None:
    """Insert the circuit breaker of a destination."""
    stands = {"name": name, "state": state, "failures": 0, "since": database.now()}
    put(database, tables.destination, **(stands | values))


def process(database: Database, **facts: object) -> None:
    """Insert a process of the node."""
    now = database.now()
    put(database, tables.node, executor_id="node", role="node", started_at=now, seen_at=now, facts=facts)


class Done(NamedTuple):
    """What a command printed."""

    stdout: str
    stderr: str


def run(settings: Path, *arguments: object, expect: int = 0) -> Done:
    """Run a command in this process with a settings file; it must end with the exit code `expect`."""
    stdout, stderr, given = StringIO(), StringIO(), ["dicomnode", *map(str, arguments), "--config", str(settings)]
    code: object = 0
    with redirect_stdout(stdout), redirect_stderr(stderr), patch.object(sys, "argv", given):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    done = Done(stdout.getvalue(), stderr.getvalue())
    assert code == expect, done
    return done


def told(settings: Path, *arguments: object, expect: int = 0) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON document that the installed command prints."""
    return json.loads(run(settings, *arguments, "--json", expect=expect).stdout)


def shape(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return the keys of a JSON document, in any nesting; of a list those of its first."""
    if isinstance(value, Mapping):
        return {key: shape(one) for key, one in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else None
