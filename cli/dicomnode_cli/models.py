"""`dicomnode models`: import models, say which there are, and look after them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dicomnode.calibrating import squares_of
from dicomnode.errors import Refused, SettingsError
from dicomnode.inference.architectures import LITE_MEDSAM
from dicomnode.inference.benching import bench
from dicomnode.inference.catalog import entry_of, read_catalog
from dicomnode.inference.importing import Imported, ImportTools, import_model
from dicomnode.inference.layouts import INT8_ENCODER_NAME, LAYOUT_NAME
from dicomnode.inference.library import (
    BUILT_IN,
    changes,
    export_weights,
    find_model,
    models_in,
    remove_model,
    shipped_model,
    shipped_models,
)
from dicomnode.inference.probing import probe_model
from dicomnode.inference.pulling import pull
from dicomnode.inference.quantizing import check_quantizable, make_int8, quantize_model
from dicomnode.settings import find, set_value
from dicomnode.shared import shared_file
from dicomnode_cli import models_showing, showing
from dicomnode_cli.options import ConfigOption, JsonOption, PathsArgument, load_settings, surroundings

app = typer.Typer(help="Import models, and look after them.", no_args_is_help=True, add_completion=False)

CALIBRATION_PLANES = 64
_FAILED = 1
_FETCHED = ".fetched"  # the folder that files are fetched to, in the models folder
_KIB = 1024

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A model's name, as `dicomnode models list` says it.")
]
AsOption = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="What the model is called; by default as in the catalog.")
]
DefaultOption = Annotated[
    bool, typer.Option("--default", help="Also set model.name in the settings file, so that it is used.")
]


@app.command("import")
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", exists=True, help="A checkpoint, or an encoder and a decoder (.onnx)."),
    ],
    *,
    name: AsOption = None,
    default: DefaultOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Check the weights in FILE and make a model of them, without running anything in the file.

    PyTorch checkpoints (a state dict, bare or wrapped, also in one from a training) and safetensors are read without
    PyTorch; a pair of ONNX files needs --as. Nothing else changes, unless --default is given.
    """
    settings_file = settings_file_to_change(config) if default else None
    imported = import_model(files, name, import_tools(load_settings(config).settings.models_folder))
    _finish(imported, settings_file, as_json=as_json)


@app.command("pull")
def pull_(
    name: NameArgument,
    *,
    origins: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="URL", help="Fetch it from here, instead of from the catalog's origins."),
    ] = None,
    called: AsOption = None,
    default: DefaultOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Fetch the model NAME of the catalog, check that it is the published file, and import it.

    A fetch that was broken off is gone on with.
    """
    settings_file = settings_file_to_change(config) if default else None
    entry = entry_of(read_catalog(), name)
    if name in BUILT_IN:
        raise SettingsError(f"model {name!r}", "it comes with dicomnode, and nothing of it is fetched")
    folder = load_settings(config).settings.models_folder
    with showing.progress_bar(Console(stderr=True)) as show:

        def progress(there: int, size: int) -> None:
            show(f"fetching {entry.weights} (KiB)", there // _KIB, size // _KIB)

        path = pull(entry, origins or entry.origins, folder / _FETCHED, progress)
    imported = import_model([path], called or name, import_tools(folder))
    path.unlink()
    _finish(imported, settings_file, as_json=as_json)


@app.command("list")
def list_(*, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Say which models there are: those that come with dicomnode, those imported, and others of the catalog."""
    settings = load_settings(config).settings
    rows = models_showing.rows(list(models_in(settings.models_folder)), read_catalog(), settings.model.name)
    if as_json:
        showing.write_json({"folder": str(settings.models_folder), "models": rows})
    else:
        models_showing.print_rows(rows, Console())


@app.command()
def show(name: NameArgument, *, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Say everything that is known of the model NAME: its origin, its licence, its hashes."""
    settings = load_settings(config).settings
    catalog = read_catalog()
    imported = None
    if name in shipped_models() or (settings.models_folder / name).is_dir() or name not in catalog:
        imported = find_model(settings.models_folder, name)
    entry = catalog.get(name)
    if imported and entry and not (imported.shipped or any(map(entry.is_of, imported.lineage.sources))):
        entry = None  # the name is the same, and the file is not
    document = models_showing.document(name, imported, entry, default=name == settings.model.name)
    if as_json:
        showing.write_json(document)
    else:
        models_showing.print_document(document, Console())


@app.command()
def remove(
    name: NameArgument,
    *,
    force: Annotated[bool, typer.Option("--force", help="Also a model that the settings name.")] = False,
    config: ConfigOption = None,
) -> None:
    """Delete the imported model NAME; one that the settings name stays."""
    settings = load_settings(config).settings
    if name == settings.model.name and name not in BUILT_IN and not force:
        raise SettingsError(f"model {name!r}", "the settings name it as model.name; --force removes it all the same")
    remove_model(settings.models_folder, name)
    typer.echo(f"removed {settings.models_folder / name}")


@app.command()
def verify(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A model; without it, all that have files.")
    ] = None,
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Read every byte of the models, and say what is missing or has changed: exit code 1 if anything is."""
    folder = load_settings(config).settings.models_folder
    everything = (*map(shipped_model, shipped_models()), *models_in(folder))
    models = everything if name is None else (find_model(folder, name),)
    found = [
        {"name": Path(one.what).parent.name, "changes": [f"{one.what}: {one.detail}"]}
        if isinstance(one, Refused)
        else {"name": one.name, "changes": list(changes(one))}
        for one in models
    ]
    if as_json:
        showing.write_json({"folder": str(folder), "models": found})
    else:
        models_showing.print_changes(found, Console())
    if any(one["changes"] for one in found):
        raise typer.Exit(_FAILED)


@app.command()
def export(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the weights go: a safetensors file.")],
    *,
    config: ConfigOption = None,
) -> None:
    """Write the weights of the model NAME as a safetensors file; a file that is there stays."""
    export_weights(find_model(load_settings(config).settings.models_folder, name), file)
    typer.echo(f"wrote {file}")


@app.command()
def quantize(
    name: NameArgument,
    paths: PathsArgument,
    *,
    planes: Annotated[
        int, typer.Option("--planes", metavar="N", min=8, help="How many planes are looked at.")
    ] = CALIBRATION_PLANES,
    config: ConfigOption = None,
) -> None:
    """Make the int8 form of the imported model NAME, for the engine openvino, calibrated with the images in PATH...

    The images should be of the kinds that the model will see; nothing of them is kept. It needs dicomnode[int8]; what
    it makes runs without.
    """
    model = find_model(load_settings(config).settings.models_folder, name)
    check_quantizable(model)
    squares = squares_of([path.absolute() for path in paths], planes)
    quantize_model(model, squares, make_int8)
    typer.echo(f"made {model.folder / INT8_ENCODER_NAME} with {showing.count(len(squares), 'plane')}")


@app.command("bench")
def bench_(
    name: NameArgument,
    *,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", min=1, help="How many turns each engine has.")] = 5,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Time the model NAME on every engine that is installed, in each precision, taking turns."""
    model = find_model(load_settings(config).settings.models_folder, name)
    with showing.progress_bar(Console(stderr=True)) as show:
        found = bench(model, rounds, lambda done, total: show("rounds", done, total))
    document = models_showing.timings(found)
    if as_json:
        showing.write_json(document)
    else:
        models_showing.print_timings(document, Console())


def import_tools(models: Path) -> ImportTools:
    """Return what an import into the folder `models` needs."""
    shipped = shared_file(f"models/{LITE_MEDSAM}/{LAYOUT_NAME}").parent
    return ImportTools(models=models, catalog=read_catalog(), probe=probe_model, shipped=shipped)


def settings_file_to_change(config: Path | None) -> Path:
    """Return the settings file that --default changes; there must be one."""
    path = find(config, surroundings())
    if path is None:
        raise SettingsError("settings file", "there is none yet; make one with: dicomnode config init")
    return path


def set_default(settings_file: Path, name: str) -> None:
    """Let the settings file name the model `name`."""
    set_value(settings_file, "model.name", name, surroundings())


def _finish(imported: Imported, settings_file: Path | None, *, as_json: bool) -> None:
    """Set the default if that is asked for, and say what was imported."""
    if settings_file is not None:
        set_default(settings_file, imported.model.name)
    document = models_showing.report(imported, settings_file)
    if as_json:
        showing.write_json(document)
    else:
        models_showing.print_report(document, Console())
