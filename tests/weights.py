"""Weights drawn at random: those of LiteMedSAM, which do not lie in this repository, and of the built-in network."""

import re
import shutil
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicomnode.inference.importing import ImportTools, import_model
from dicomnode.inference.layouts import (
    DECODER_NAME,
    ENCODER_NAME,
    LAYOUT_NAME,
    NETWORK_NAME,
    WEIGHTS_NAME,
    Layout,
    read_layout,
)
from dicomnode.inference.probing import Probed
from dicomnode.inference.safetensors_file import write_weights
from dicomnode.shared import shared_file

FINITE = Probed(engine="none", finite=True, lowest=-1.0, highest=1.0, torch_difference=None)
GRAPHS = shared_file("models/lite-medsam")
BUILT_IN = shared_file("models/box-unet")
Tensor = NDArray[np.float32] | NDArray[np.int64]

_EMBEDDING = re.compile(r"(attention_biases|gaussian_matrix|(_embed|_tokens?|_embeddings\.\d)\.weight)$")


def lite_medsam_layout() -> Layout:
    """Return the list of tensors that comes with the graphs."""
    return read_layout(GRAPHS / LAYOUT_NAME)


def random_weights(seed: int) -> dict[str, Tensor]:
    """Return all tensors of LiteMedSAM, no two alike, such that activations and logits are of the order of 1."""
    generator = np.random.default_rng(seed)
    return {one.name: _drawn(generator, one.name, one.shape) for one in lite_medsam_layout()}


def model_folder(folder: Path, weights: Mapping[str, Tensor] | None = None) -> Path:
    """Fill `folder` with the graphs and `weights`, random ones without, as an import does; return it."""
    for name in (ENCODER_NAME, DECODER_NAME):
        shutil.copyfile(GRAPHS / name, folder / name)
    write_weights(folder / WEIGHTS_NAME, lite_medsam_layout(), weights or random_weights(1))
    return folder


def box_unet_folder(folder: Path) -> Path:
    """Fill `folder` with the graph of the built-in network and random weights in half precision; return it.

    What it answers is of the order of 1.
    """
    generator = np.random.default_rng(1)
    layout = read_layout(BUILT_IN / LAYOUT_NAME)
    weights = {one.name: _drawn(generator, one.name, one.shape) for one in layout}
    for last in ("mask.weight", "quality.2.weight"):
        weights[last] = (weights[last] / 20).astype(np.float32)
    shutil.copyfile(BUILT_IN / NETWORK_NAME, folder / NETWORK_NAME)
    write_weights(folder / WEIGHTS_NAME, layout, weights)
    return folder


def imported_model(folder: Path) -> Path:
    """Import random weights as the model ours, without trying it; return the folder of models, in `folder`."""
    source = model_folder(folder) / WEIGHTS_NAME
    tools = ImportTools(models=folder / "models", catalog={}, probe=lambda _: FINITE, shipped=GRAPHS)
    import_model([source], "ours", tools)
    return tools.models


def _drawn(generator: np.random.Generator, name: str, shape: tuple[int, ...]) -> Tensor:
    if name.endswith("num_batches_tracked"):
        return np.asarray(generator.integers(1000), np.int64)
    values = generator.standard_normal(shape)
    if name.endswith("running_var"):
        values = np.exp(values / 5)
    elif len(shape) == 1:
        values = 1 + values / 5 if name.endswith(".weight") else values / 20  # a norm's scale, or what is added
    elif not _EMBEDDING.search(name):
        gain = 1 if ".local_conv." in name else 2  # an activation halves what it is given, and none follows that one
        values *= (gain / prod(shape[1:])) ** 0.5
    return values.astype(np.float32)
