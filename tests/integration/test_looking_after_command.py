"""The commands that look after a node, over the tables of one that is stopped."""

import json
import os
import pwd
import re
from pathlib import Path
from typing import Any

import pytest

from dicomnode.store.database import FILE_NAME, Database
from tests import standing
from tests.standing import run, shape, told

DOCS = Path(__file__).parents[2] / "docs" / "commands.md"
USER = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """Return the settings file of a node that is stopped: one job done, one failed, one delivery dead."""
    (tmp_path / "data").mkdir()
    database = Database(tmp_path / "data" / FILE_NAME)
    database.upgrade()
    standing.study(database)
    standing.study(database, "1.3", "held", reason="ROI 3 'Smith': CONTOUR_OFF_STACK: it lies off")
    standing.job(database, "d0e0", "done")
    standing.job(database, "fa11", "failed", reason="ROI 3 'Smith' broke it")
    standing.artifact(database, "2.25.101", "d0e0")
    standing.delivery(database, "2.25.101", "pacs", "d0e0", "dead", reason="it answered status 0xA900")
    database.close()
    settings = tmp_path / "dicomnode.toml"
    remote = '[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 1\n'
    settings.write_text(f'[node]\ndata_dir = "{tmp_path / "data"}"\n{remote}')
    return settings


def test_a_stopped_node_is_looked_at_and_its_jobs_are_retried(stopped: Path) -> None:
    screen = run(stopped, "status").stdout
    assert "no node runs" in screen
    assert "1 done, 1 failed" in screen
    assert re.search(r"held for \d+ s \(1\.3\): ROI 3 '\.\.\.': CONTOUR_OFF_STACK", screen)
    assert "dead letters at pacs: 1" in run(stopped, "status", "--check", expect=1).stdout
    assert [one["what"] for one in told(stopped, "status")["attention"]] == ["NO_NODE", "DEAD_LETTERS"]
    assert "Smith" not in run(stopped, "status", "--json").stdout + run(stopped, "jobs", "list", "--json").stdout
    assert "Smith" in run(stopped, "jobs", "show", "fa").stdout

    assert "was failed, is ready" in run(stopped, "jobs", "retry", "fa").stdout
    assert (
        "it is ready: only what is refused, failed or cancelled" in run(stopped, "jobs", "retry", "fa", expect=4).stderr
    )
    shown = told(stopped, "jobs", "show", "fa11")
    assert [(one["what"], one["who"]) for one in shown["history"]] == [("job_requeued", USER)]
    assert told(stopped, "jobs", "retry", "--all-failed") == {"jobs": []}
    assert told(stopped, "jobs", "cancel", "fa11", "d0e0", expect=4) == {
        "jobs": [
            {"key": "fa11", "before": "ready", "changed": True, "refusal": None},
            {
                "key": "d0e0",
                "before": "done",
                "changed": False,
                "refusal": "it is done: only what is ready or running can be cancelled",
            },
        ]
    }


def test_dead_deliveries_of_a_stopped_node_are_retried(stopped: Path) -> None:
    assert "it answered status 0xA900" in run(stopped, "deliveries", "list", "--state", "dead").stdout
    assert "to pacs: dead after 1 attempt" in run(stopped, "deliveries", "show", "...101").stdout  # as a list has it
    changed = {"sop_uid": "2.25.101", "destination": "pacs", "before": "dead", "changed": True, "refusal": None}
    assert told(stopped, "deliveries", "retry", "--dead", "--destination", "pacs") == {"deliveries": [changed]}
    assert "it is waiting: only what is dead" in run(stopped, "deliveries", "retry", "101", expect=4).stderr
    (event,) = told(stopped, "deliveries", "show", "2.25.101")["history"]
    assert (event["what"], event["who"]) == ("delivery_replayed", USER)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["jobs", "show", "x"], "no job's key begins"),
        (["jobs", "retry"], "give either keys or"),
        (["jobs", "retry", "fa", "--all-failed"], "give either keys or"),
        (["jobs", "cancel", ""], "begins the keys of several jobs"),
        (["deliveries", "show", "x"], "no object's UID ends"),
        (["deliveries", "retry", "101", "--destination", "other"], "is not sent to other"),
        (["deliveries", "retry"], "give either UIDs or"),
        (["status", "--watch", "1", "--json"], "goes neither with"),
        (["echo", "pcas"], "did you mean pacs?"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_names_nothing_is_wrong_usage(stopped: Path, arguments: list[str], words: str) -> None:
    assert words in " ".join(run(stopped, *arguments, expect=2).stderr.replace("│", " ").split())


def test_where_no_node_ran_that_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    settings = tmp_path / "dicomnode.toml"
    settings.write_text(f'[node]\ndata_dir = "{tmp_path / "data"}"\n')
    for command in (["status"], ["status", "--check"], ["jobs", "list"], ["deliveries", "list"]):
        assert "no node ran on this data folder yet" in run(settings, *command, expect=1).stderr
    assert not (tmp_path / "data").exists()


def test_the_document_of_status_has_the_documented_keys(stopped: Path) -> None:
    assert _filled(shape(told(stopped, "status")), shape(_documented("dicomnode status")))


@pytest.mark.parametrize(
    ("command", "list_name"),
    [(("jobs", "list"), "jobs"), (("deliveries", "list"), "deliveries")],
    ids=lambda given: "-".join(given) if isinstance(given, tuple) else "",
)
def test_lists_have_the_documented_keys(stopped: Path, command: tuple[str, ...], list_name: str) -> None:
    section = DOCS.read_text(encoding="utf-8").partition(f"## `dicomnode {' '.join(command)}`")[2]
    named = re.findall(r'"(\w+)"', section.partition("| `--json` |")[2].partition("\n")[0])
    document = told(stopped, *command)
    assert {*named} == {*document, *document[list_name][0]}


def _documented(command: str) -> Any:  # noqa: ANN401 - JSON
    section = DOCS.read_text(encoding="utf-8").partition(f"## `{command}`")[2].partition("\n## ")[0]
    return json.loads(section.partition("```\n{")[2].partition("\n```")[0].join(["{", ""]))


def _filled(found: Any, documented: Any) -> bool:  # noqa: ANN401 - JSON
    """Return whether `found` has the keys of `documented`, but below lists that are empty in it."""
    if isinstance(documented, dict):
        return (
            isinstance(found, dict)
            and found.keys() == documented.keys()
            and all(_filled(found[key], documented[key]) for key in found)
        )
    if isinstance(documented, list):
        return found is None or _filled(found[0], documented[0])
    return not isinstance(found, dict | list)
