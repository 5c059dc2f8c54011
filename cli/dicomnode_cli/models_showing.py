"""Show models: as documents for programs, and as tables and lines for people."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicomnode.errors import Refused
from dicomnode.inference.benching import Timings
from dicomnode.inference.catalog import Catalog, CatalogEntry
from dicomnode.inference.importing import Imported
from dicomnode.inference.library import BUILT_IN, ImportedModel
from dicomnode.inference.words import few
from dicomnode_cli import showing

_MB = 1e6
_HASH = 12  # hexadecimal digits that tables show

Document = dict[str, Any]


def rows(there: Sequence[ImportedModel | Refused], catalog: Catalog, default: str) -> list[Document]:
    """Return a row a model: those that come with the package, those imported, and what else the catalog has."""
    imported = {one.name: one for one in there if isinstance(one, ImportedModel)}
    damaged = {Path(one.what).parent.name: one.detail for one in there if isinstance(one, Refused)}
    names = dict.fromkeys((*BUILT_IN, *sorted({*imported, *damaged}), *catalog))
    found = []
    for name in names:
        lineage = imported[name].lineage if name in imported else None
        entry = catalog.get(name)
        found.append(
            {
                "name": name,
                "state": _state(name, imported, damaged),
                "default": name == default,
                "architecture": lineage.architecture if lineage else None,
                "weights_sha256": lineage.weights_sha256 if lineage else entry.weights_sha256 if entry else None,
                "licence": lineage.licence if lineage else entry.licence if entry else None,
                "problem": damaged.get(name),
            }
        )
    return found


def print_rows(found: Sequence[Document], console: Console) -> None:
    """Print the table of models."""
    table = Table("model", "state", "weights", "licence", box=SIMPLE_HEAD)
    for row in found:
        name = f"{row['name']} (default)" if row["default"] else row["name"]
        state = f"{row['state']}: {row['problem']}" if row["problem"] else row["state"]
        weights = (row["weights_sha256"] or "-")[:_HASH]
        table.add_row(*map(Text, (name, state, weights, row["licence"] or "-")))
    console.print(table)
    if any(row["state"] == "not here" for row in found):
        showing.line(
            console, "What is not here is fetched by dicomnode models pull, or imported by dicomnode models import."
        )


def document(name: str, imported: ImportedModel | None, entry: CatalogEntry | None, *, default: bool) -> Document:
    """Return all that is known of the model `name`."""
    return {
        "name": name,
        "state": _state(name, [name] if imported else (), ()),
        "default": default,
        "folder": str(imported.folder) if imported else None,
        "bytes": imported.size if imported else None,
        "lineage": asdict(imported.lineage) if imported else None,
        "catalog": asdict(entry) if entry else None,
    }


def print_document(found: Document, console: Console) -> None:
    """Print all that is known of a model, a line each."""
    lines = {"model": found["name"], "state": found["state"], "default": "yes" if found["default"] else "no"}
    if found["folder"]:
        lines |= {"folder": found["folder"], "size": f"{found['bytes'] / _MB:.1f} MB"}
    for part in ("lineage", "catalog"):
        lines |= {f"{part}: {key}": value for key, value in _flat(found[part] or {}) if key != "name" and value}
    _print_lines(lines, console)


def report(imported: Imported, settings_file: Path | None) -> Document:
    """Return what became of an import; `settings_file` is the one that names the model now."""
    lineage = imported.model.lineage
    return {
        **asdict(lineage),
        "folder": str(imported.model.folder),
        "new": imported.new,
        "tensors": {
            "total": imported.tensors,
            "used": imported.tensors - len(imported.unused),
            "unused": list(imported.unused),
        },
        "beside": list(imported.beside),
        "notes": list(imported.notes),
        "test_image": asdict(imported.probed),
        "settings_file": None if settings_file is None else str(settings_file),
    }


def print_report(found: Document, console: Console) -> None:
    """Print what became of an import, a line each."""
    lines = {"model": f"{found['name']} in {found['folder']}{'' if found['new'] else ', which was there already'}"}
    for source in found["sources"]:
        lines[f"from {source['file']}"] = f"{source['form']}; sha256 {source['sha256']}; git blob {source['git_blob']}"
    lines |= {"origin": found["origin"], "licence": found["licence"], "weights": f"sha256 {found['weights_sha256']}"}
    if found["tensors"]["total"]:
        lines["tensors"] = _tensors(found["tensors"])
    if found["beside"]:
        lines["not used"] = few(found["beside"])
    lines |= {f"note {number}": note for number, note in enumerate(found["notes"], start=1)}
    lines["test image"] = _test_image(found["test_image"])
    if found["settings_file"]:
        lines["default"] = f"model.name in {found['settings_file']}; a running node reads it when it starts"
    _print_lines(lines, console)


def print_changes(found: Sequence[Document], console: Console) -> None:
    """Print for each model whether it is in order."""
    for one in found:
        for change in one["changes"] or ["in order"]:
            showing.line(console, f"{one['name']}: {change}")


def _state(
    name: str, imported: Sequence[str] | Mapping[str, object], damaged: Sequence[str] | Mapping[str, object]
) -> str:
    if name in BUILT_IN:
        return "comes with dicomnode"
    if name in damaged:
        return "damaged"
    return "imported" if name in imported else "not here"


def _tensors(found: Document) -> str:
    names = few(found["unused"], 3)
    return f"{found['total']}: {found['used']} used once each, {len(found['unused'])} that no graph reads ({names})"


def _test_image(found: Document) -> str:
    words = f"finite, logits from {found['lowest']:.4g} to {found['highest']:.4g} ({found['engine']})"
    if found["torch_difference"] is None:
        return f"{words}, not compared with torch"
    return f"{words}, at most {found['torch_difference']:.2g} from torch"


def _flat(found: Document) -> list[tuple[str, str]]:
    """Return the values in `found` with their keys, those of inner documents after the outer key."""
    flat: list[tuple[str, str]] = []
    for key, value in found.items():
        if isinstance(value, dict):
            flat += [(f"{key} {inner}", text) for inner, text in _flat(value)]
        elif isinstance(value, list | tuple):
            for one in value:
                flat += (
                    [(f"{key} {inner}", text) for inner, text in _flat(one)] if isinstance(one, dict) else [(key, one)]
                )
        else:
            flat.append((key, "" if value is None else str(value)))
    return flat


def _print_lines(lines: Mapping[str, str], console: Console) -> None:
    width = max(map(len, lines))
    for key, value in lines.items():
        showing.line(console, f"{key:{width}}  {value}")


def timings(found: Timings) -> Document:
    """Return times in milliseconds, and rates in 1e9 operations a second."""
    return {
        "fp32_gflops": found.rate,
        "engines": [
            {
                "engine": one.identity.engine.value,
                "version": one.identity.version,
                "device": one.identity.device.value,
                "precision": one.identity.precision.value,
                "load_ms": 1000 * one.load,
                "encode_ms": 1000 * one.encode,
                "further_box_ms": 1000 * one.box,
            }
            for one in found.timings
        ],
        "left_out": list(found.left_out),
    }


def print_timings(document: Document, console: Console) -> None:
    """Print a row an engine and precision, the best of its turns."""
    table = Table("engine", "device", "precision", box=SIMPLE_HEAD)
    for heading in ("a plane, ms", "a further box, ms", "to load, ms"):
        table.add_column(heading, justify="right")
    for row in document["engines"]:
        names = (row["engine"], row["device"], row["precision"])
        times = (f"{row[key]:.1f}" for key in ("encode_ms", "further_box_ms", "load_ms"))
        table.add_row(*map(Text, (*names, *times)))
    console.print(table)
    showing.line(
        console, f"This machine's matrix product in the same turns: {document['fp32_gflops']:.0f} GFLOP/s, fp32"
    )
    for sentence in document["left_out"]:
        showing.line(console, f"left out  {sentence}")
