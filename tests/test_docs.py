"""The documentation names everything there is, and nothing else."""

import re
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from dicomnode.errors import Reason
from dicomnode.inference.runtime import RUNTIMES
from dicomnode.inference.windows import DEFAULT_PRESET, PRESET_OF_PART, PRESETS
from dicomnode.settings import Destination, JobPriority, Profile, Pull, Settings, Source, Surroundings, parse
from dicomnode.settings.rules import ModelRule
from dicomnode.settings.table import Table
from dicomnode_cli.main import Commands, app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
DEFAULTS = parse("", None, Surroundings(environment={"HOME": "/home/user"}, folder=Path("/")))


NAMED: dict[str, type[Table]] = {"destinations": Destination, "profiles": Profile, "sources": Source, "pulls": Pull}
NUMBERED: dict[str, type[Table]] = {"rules": ModelRule, "priorities": JobPriority}


def rows_of(page: Path) -> dict[str, list[str]]:
    """Return the tables of `page` as rows by the word in their first cell."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def settings_of(table: type[Table], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield each setting below `table`, with its field."""
    for name, field in table.model_fields.items():
        if name in NAMED:
            yield from settings_of(NAMED[name], f"{name}.NAME.")
        elif name in NUMBERED:
            yield from settings_of(NUMBERED[name], f"{prefix}{name}.N.")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Table):
            yield from settings_of(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def default_file() -> dict[str, Any]:
    """Return the shipped settings file with what is commented out put in."""
    text = (ROOT / "config" / "dicomnode.toml").read_text(encoding="utf-8")
    return tomllib.loads(re.sub(r"^# (\w+ = |\[\[)", r"\1", text, flags=re.MULTILINE))


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each command as it is typed, with its options."""
    for name in Commands.table:
        command: Any = get_command(app).load(name)  # type: ignore[attr-defined] # Commands is a LazyGroup
        for sub_name, sub_command in getattr(command, "commands", {"": command}).items():
            options = [option for parameter in sub_command.params for option in parameter.opts if option[:2] == "--"]
            yield f"dicomnode {name} {sub_name}".strip(), [*options]


def section(page: Path, heading: str) -> str:
    """Return what stands under `heading` in `page`."""
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"^#+ `{re.escape(heading)}.*?\n(.*?)(?=^#|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page.name} has no heading for {heading}"
    return found[1]


def test_every_command_has_a_section_that_names_its_options() -> None:
    missing = [
        f"{command} {option}"
        for command, options in commands()
        for option in options
        if option != "--help" and f"`{option}" not in section(DOCS / "commands.md", command)
    ]
    assert missing == []


def test_the_settings_page_lists_every_setting_with_default_and_what_is_allowed() -> None:
    rows = rows_of(DOCS / "settings.md")
    for key, field in settings_of(Settings, ""):
        default, allowed, _ = rows.pop(key)
        assert allowed == field.description
        if not field.is_required() and field.default is not None:
            assert tomllib.loads(f"value = {default.strip('`')}")["value"] == field.default
    assert rows == {}


def test_the_shipped_settings_file_has_every_setting_and_no_other() -> None:
    shipped = default_file()
    named = {name: shipped.pop(name) for name in NAMED}
    numbered = {"model.rules": shipped["model"].pop("rules"), "jobs.priorities": shipped["jobs"].pop("priorities")}
    keys = {f"{table}.{key}" for table, content in shipped.items() for key in content}
    keys |= {f"{name}.NAME.{key}" for name, (table,) in named.items() for key in table}
    keys |= {f"{name}.N.{key}" for name, tables in numbered.items() for key in chain(*tables)}
    assert keys == {key for key, _ in settings_of(Settings, "")}


def test_the_shipped_settings_file_says_the_defaults() -> None:
    text = (ROOT / "config" / "dicomnode.toml").read_text(encoding="utf-8")
    assert parse(text, None, Surroundings(environment={"HOME": "/home/user"}, folder=Path("/"))) == DEFAULTS
    commented = default_file()
    assert commented["node"]["data_dir"] == "~/.local/share/dicomnode"


@pytest.mark.parametrize(("heading", "refused"), [("Refused", True), ("Set aside", False)])
def test_every_reason_is_explained_where_it_belongs(heading: str, *, refused: bool) -> None:
    page = (DOCS / "reasons.md").read_text(encoding="utf-8")
    part = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([A-Z_]+)`", part, flags=re.MULTILINE) == sorted(
        reason for reason in Reason if reason.refuses is refused
    )


def test_every_model_is_in_the_catalog_and_has_a_card() -> None:
    catalog = tomllib.loads((ROOT / "models" / "catalog.toml").read_text(encoding="utf-8"))
    assert set(catalog) >= set(RUNTIMES)
    assert [entry["card"] for entry in catalog.values() if not (ROOT / "models" / entry["card"]).is_file()] == []


def test_every_window_is_listed_with_its_values_and_body_parts() -> None:
    rows = rows_of(DOCS / "models.md")
    for name, (level, width) in PRESETS.items():
        parts = sorted(part for part, preset in PRESET_OF_PART.items() if preset == name)
        listed = "anything else" if name == DEFAULT_PRESET else ", ".join(parts)
        assert rows[name] == [f"{level:g}", f"{width:g}", listed]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_exit_codes_of_help_are_documented() -> None:
    assert rows_of(DOCS / "commands.md").keys() >= {"0", "1", "2", "3", "4"}
