"""Make the int8 form of an imported model for the engine openvino, by post-training quantisation with NNCF."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import SettingsError
from dicomnode.inference.layouts import ENCODER_NAME, INT8_ENCODER_NAME, INT8_FILES
from dicomnode.inference.library import ImportedModel, check_files, find_model
from dicomnode.inference.lineage import LINEAGE_NAME, Lineage, lineage_text, sha256_of
from dicomnode.inference.workplaces import sync, workplace

Make = Callable[[Path, Sequence[NDArray[np.float32]], Path], None]  # an encoder, what it is calibrated with, the result


def check_quantizable(model: ImportedModel) -> None:
    """Refuse `model` if it has no encoder, of which an int8 form could be made."""
    if ENCODER_NAME not in model.lineage.files:
        raise SettingsError(f"model {model.name!r}", f"only an {ENCODER_NAME} is quantised, and it has none")


def quantize_model(model: ImportedModel, squares: Sequence[NDArray[np.float32]], make: Make) -> ImportedModel:
    """Return `model` with an encoder in int8 beside its own, which `make` makes, in place of one that was made before.

    `squares` are what it is calibrated with: (3, 256, 256) float32 in 0..1 each, planes as the network sees them.
    """
    with workplace(model.folder.parent) as scratch:
        model = find_model(model.folder.parent, model.name)
        check_files(model, without=INT8_FILES)
        made = (scratch / INT8_ENCODER_NAME).parent
        made.mkdir()
        make(model.folder / ENCODER_NAME, squares, scratch / INT8_ENCODER_NAME)
        files = {f"{made.name}/{path.name}": sha256_of(path) for path in sorted(made.iterdir())}
        for path in (*made.iterdir(), made):
            sync(path)
        plain = {name: sha256 for name, sha256 in model.lineage.files.items() if name not in INT8_FILES}
        # whoever breaks off between these steps leaves a model without an int8 form, and never one of two halves
        _say(replace(model.lineage, files=plain), model.folder, scratch)
        target = model.folder / made.name
        if target.exists():
            target.rename(scratch / "before")
        made.rename(target)
        lineage = replace(model.lineage, files={**plain, **files})
        _say(lineage, model.folder, scratch)
    return replace(model, lineage=lineage)


def _say(lineage: Lineage, folder: Path, scratch: Path) -> None:
    """Have the model in `folder` say `lineage`, at once."""
    part = scratch / LINEAGE_NAME
    part.write_text(lineage_text(lineage), encoding="utf-8")
    sync(part)
    part.replace(folder / LINEAGE_NAME)
    sync(folder)


def make_int8(encoder: Path, squares: Sequence[NDArray[np.float32]], target: Path) -> None:
    """Write to `target` the graph `encoder` in int8: weights by channel, activations by tensor, the rest as it was."""
    try:
        import nncf  # noqa: PLC0415 - heavy, and wanted here alone
        import openvino as ov  # noqa: PLC0415 - comes with it
    except ModuleNotFoundError as error:
        detail = f"it needs the package {error.name}, which is not installed: pip install 'dicomnode[int8]'"
        raise SettingsError("models quantize", detail) from error
    model = ov.Core().read_model(encoder)
    images = model.inputs[0].get_any_name()
    quantized = nncf.quantize(
        model,
        nncf.Dataset(list(squares), lambda square: {images: square[np.newaxis]}),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(squares),
    )
    ov.save_model(quantized, target, compress_to_fp16=False)
