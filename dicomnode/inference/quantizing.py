"""Make the int8 form of an imported model for the engine openvino, by post-training quantisation with NNCF."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from dicomnode.errors import SettingsError
from dicomnode.inference.layouts import ENCODER_NAME, INT8_ENCODER_NAME
from dicomnode.inference.library import ImportedModel
from dicomnode.inference.lineage import LINEAGE_NAME, lineage_text, sha256_of

_WORKPLACE = ".quantizing-"  # begins the name of a folder that is being filled; no model's name begins with a dot


def quantize_model(model: ImportedModel, squares: Sequence[NDArray[np.float32]]) -> ImportedModel:
    """Return `model` with an encoder in int8 beside its own, in place of one that was made before.

    `squares` are what it is calibrated with: (3, 256, 256) float32 in 0..1 each, planes as the network sees them.
    """
    with TemporaryDirectory(prefix=_WORKPLACE, dir=model.folder.parent) as scratch:
        made = (Path(scratch) / INT8_ENCODER_NAME).parent
        made.mkdir()
        _quantize(model.folder / ENCODER_NAME, squares, Path(scratch) / INT8_ENCODER_NAME)
        files = {f"{made.name}/{path.name}": sha256_of(path) for path in sorted(made.iterdir())}
        target = model.folder / made.name
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    lineage = replace(model.lineage, files={**model.lineage.files, **files})
    part = model.folder / f"{LINEAGE_NAME}.part"
    part.write_text(lineage_text(lineage), encoding="utf-8")
    os.replace(part, model.folder / LINEAGE_NAME)  # noqa: PTH105 - atomic, and says so
    return replace(model, lineage=lineage)


def _quantize(encoder: Path, squares: Sequence[NDArray[np.float32]], target: Path) -> None:
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
