"""`dicomnode config`: make, show, check and change the settings file."""

import json
from pathlib import Path
from typing import Annotated, Any

import tomlkit
import typer

from dicomnode.errors import SettingsError
from dicomnode.settings import Settings, find, get, load, places, set_value
from dicomnode.shared import shared_file
from dicomnode_cli.options import ConfigOption, surroundings

app = typer.Typer(help="Make, show, check and change the settings file.", no_args_is_help=True, add_completion=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Such as listener.port or destinations.pacs.port.")]


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Where to write it.")] = Path("dicomnode.toml"),
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write a settings file with every setting, its default and a line on what it does."""
    content = shared_file("config/dicomnode.toml").read_bytes()
    try:
        with file.open("wb" if force else "xb") as opened:
            opened.write(content)
    except FileExistsError as error:
        raise SettingsError(str(file), "is there already; --force replaces it") from error
    except OSError as error:
        raise SettingsError(str(file), f"cannot be written: {error.strerror}") from error
    typer.echo(f"wrote {file}")


@app.command()
def show(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Print the settings that count here, the file they come from, and where files are looked for."""
    loaded = load(config, surroundings())
    looked = [
        {"source": place.source, "path": str(place.path), "exists": place.path.is_file(), "used": used}
        for place in places(config, surroundings())
        for used in [place.path == loaded.path]
    ]
    if as_json:
        document = {
            "path": _text(loaded.path),
            "looked_up": looked,
            "settings": loaded.settings.model_dump(mode="json"),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"# from {loaded.path or 'the defaults, as there is no settings file'}; looked for in this order:")
    for place in looked:
        typer.echo(f"#   {'->' if place['used'] else '  '} {place['path']} ({place['source']})")
    typer.echo()
    typer.echo(_as_toml(loaded.settings), nl=False)


@app.command()
def check(config: ConfigOption = None) -> None:
    """Say whether the settings are right: exit code 0, or 2 with the file, the line, the key and what is allowed."""
    loaded = load(config, surroundings())
    typer.echo(f"{loaded.path or 'default settings'}: no mistake found")


@app.command("get")
def get_(key: KeyArgument, config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Print one setting; nothing is printed for one that is not set."""
    value = get(load(config, surroundings()).settings, key)
    if as_json or isinstance(value, dict | bool):
        typer.echo(json.dumps(value))
    else:
        typer.echo("" if value is None else value)


@app.command("set")
def set_(
    key: KeyArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="A TOML value, or plain text.")],
    config: ConfigOption = None,
) -> None:
    """Change one setting in the settings file; its comments stay, and a value that is not allowed changes nothing.

    A new destination is given whole:
    dicomnode config set destinations.pacs '{ae_title = "PACS", host = "127.0.0.1", port = 104}'
    """
    path = find(config, surroundings())
    if path is None:
        raise SettingsError("settings file", "there is none yet; make one with: dicomnode config init")
    set_value(path, key, value, surroundings())
    typer.echo(f"{path}: {key} = {json.dumps(get(load(path, surroundings()).settings, key))}")


def _as_toml(settings: Settings) -> str:
    """Return `settings` as the content of a settings file; what is not set is left out."""
    tables: dict[str, Any] = settings.model_dump(mode="json", exclude_none=True)
    return tomlkit.dumps({key: value for key, value in tables.items() if value})


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
