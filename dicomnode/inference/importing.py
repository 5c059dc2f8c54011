"""Import a model: read its weights, check them, and put them beside the graphs that run them."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import Reason, Refused, SettingsError
from dicomnode.inference.architectures import LITE_MEDSAM, ONNX_PAIR, check_architecture
from dicomnode.inference.catalog import Catalog
from dicomnode.inference.checkpoints import Checkpoint, open_checkpoint
from dicomnode.inference.layouts import DECODER_NAME, ENCODER_NAME, LAYOUT_NAME, WEIGHTS_NAME, Layout, read_layout
from dicomnode.inference.library import ImportedModel, check_name
from dicomnode.inference.lineage import UNKNOWN, Lineage, source_of
from dicomnode.inference.onnx_pairs import BOXES, Signature, check_pair, pair_in, signature_of
from dicomnode.inference.probing import Probe, Probed
from dicomnode.inference.publishing import IMPORTED_BY, draft, files_of, publish
from dicomnode.inference.safetensors_file import write_weights
from dicomnode.inference.words import few

Arrays = Mapping[str, NDArray[np.float32] | NDArray[np.int64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportTools:
    """What an import needs: the models folder, the catalog, how a model is tried, the graphs to put weights beside.

    `shipped` is the folder of the graphs and of their layout; `signature` tells what other graphs take and give.
    """

    models: Path
    catalog: Catalog
    probe: Probe
    shipped: Path
    signature: Callable[[Path], Signature] = signature_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What became of a file of weights.

    Each of the `tensors` is in the model once, and no graph reads those in `unused`; a pair of graphs has none of them.
    `beside` is what else the file held; `new` tells that the model was not there before.
    """

    model: ImportedModel
    tensors: int
    unused: tuple[str, ...]
    beside: tuple[str, ...]
    notes: tuple[str, ...]
    probed: Probed
    new: bool


def import_model(paths: Sequence[Path], name: str | None, tools: ImportTools) -> Imported:
    """Import what lies at `paths` as the model `name`.

    Without a name it is called as the catalog calls the file, or as its architecture.
    """
    if name is not None:
        check_name(name)
    if len(paths) == 1 and (paths[0] / WEIGHTS_NAME).is_file():
        paths = [paths[0] / WEIGHTS_NAME]  # a model's folder
    if pair := pair_in(paths):
        return import_pair(pair, name, tools)
    if len(paths) != 1:
        raise SettingsError(f"{len(paths)} files", "one file of weights is imported at a time, or two .onnx files")
    return import_checkpoint(paths[0], name, tools)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """Where weights come from that were made here: their origin and licence, and with what they were trained."""

    origin: str
    licence: str
    training: Mapping[str, str]


def import_checkpoint(path: Path, name: str | None, tools: ImportTools, made: Made | None = None) -> Imported:
    """Import the weights in the file at `path`; `made` says where they come from, else the catalog may."""
    layout = read_layout(tools.shipped / LAYOUT_NAME)
    checkpoint, arrays = read_weights(path, layout)
    with draft(tools.models) as folder:
        write_weights(folder / WEIGHTS_NAME, layout, arrays)
        for graph in (ENCODER_NAME, DECODER_NAME):
            shutil.copyfile(tools.shipped / graph, folder / graph)
        lineage = _lineage(path, checkpoint, folder, name, tools.catalog)
        if made is not None:
            lineage = replace(lineage, origin=made.origin, licence=made.licence, training=made.training)
        model, probed, new = publish(folder, tools.models, lineage, tools.probe)
    return Imported(
        model=model,
        tensors=len(layout),
        unused=tuple(one.name for one in layout if not one.used),
        beside=checkpoint.beside,
        notes=tuple(_notes(checkpoint, layout)),
        probed=probed,
        new=new,
    )


def import_pair(pair: tuple[Path, Path], name: str | None, tools: ImportTools) -> Imported:
    """Import an encoder and a decoder, in any order, that hold their weights themselves."""
    if name is None:
        raise SettingsError("ONNX files", "give the model a name with --as")
    with draft(tools.models) as folder:
        encoder, decoder = sorted(pair, key=lambda path: BOXES in {one.name for one in tools.signature(path).inputs})
        for path, called in ((encoder, ENCODER_NAME), (decoder, DECODER_NAME)):
            shutil.copyfile(path, folder / called)
        what = f"{encoder} and {decoder}"
        check_pair(tools.signature(folder / ENCODER_NAME), tools.signature(folder / DECODER_NAME), what)
        files = files_of(folder)
        lineage = Lineage(
            name=name,
            architecture=ONNX_PAIR,
            origin=UNKNOWN,
            licence=UNKNOWN,
            imported_by=IMPORTED_BY,
            weights_sha256=hashlib.sha256("".join(files.values()).encode()).hexdigest(),
            files=files,
            sources=(source_of(encoder, "ONNX"), source_of(decoder, "ONNX")),
        )
        model, probed, new = publish(folder, tools.models, lineage, tools.probe)
    return Imported(model=model, tensors=0, unused=(), beside=(), notes=(), probed=probed, new=new)


def read_weights(path: Path, layout: Layout) -> tuple[Checkpoint, Arrays]:
    """Return what the file at `path` is, and its tensors, which are those of `layout` and finite."""
    with open_checkpoint(path) as checkpoint:
        check_architecture(checkpoint.tensors, layout, str(path))
        arrays = checkpoint.arrays()
    for name, array in arrays.items():
        if wrong := int(np.count_nonzero(~np.isfinite(array))):
            detail = f"{wrong} of the {array.size} numbers of {name} are not finite"
            raise Refused(Reason.BAD_MODEL, str(path), detail)
    return checkpoint, arrays


def _lineage(path: Path, checkpoint: Checkpoint, folder: Path, name: str | None, catalog: Catalog) -> Lineage:
    """Return where the model in `folder` comes from; what the catalog does not know the file's origin is unknown."""
    wrapping = f" ({' > '.join(checkpoint.wrapping)})" if checkpoint.wrapping else ""
    source = source_of(path, checkpoint.kind + wrapping)
    published = next((called for called, entry in catalog.items() if entry.is_of(source)), None)
    files = files_of(folder)
    return Lineage(
        name=name or published or LITE_MEDSAM,
        architecture=LITE_MEDSAM,
        origin=catalog[published].origin if published else UNKNOWN,
        licence=catalog[published].licence if published else UNKNOWN,
        imported_by=IMPORTED_BY,
        weights_sha256=files[WEIGHTS_NAME],
        files=files,
        sources=(source,),
    )


def _notes(checkpoint: Checkpoint, layout: Layout) -> Iterator[str]:
    """Yield a sentence on each type of number that had to be changed."""
    wanted = {one.name: one.dtype for one in layout}
    changed = [(one.dtype, wanted[name], name) for name, one in checkpoint.tensors.items() if one.dtype != wanted[name]]
    for before, after in dict.fromkeys((before, after) for before, after, _ in changed):
        names = [name for *types, name in changed if types == [before, after]]
        yield f"{len(names)} tensors were {before} and became {after}: {few(names, 2)}"
