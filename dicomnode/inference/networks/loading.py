"""Load the networks of models with the weights that lie beside their graphs."""

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from dicomnode.errors import SettingsError
from dicomnode.inference.layouts import LAYOUT_NAME, WEIGHTS_NAME, Layout, offsets_of, read_layout
from dicomnode.inference.networks.box_unet import BoxUnet, folded
from dicomnode.inference.networks.lite_medsam import LiteMedSam
from dicomnode.shared import shared_file

N = TypeVar("N", bound=nn.Module)


def load_network(folder: Path) -> LiteMedSam:
    """Return LiteMedSAM with the weights in `folder`, on the CPU."""
    if not (folder / WEIGHTS_NAME).exists():
        detail = f"model {folder.name!r} has its weights in its graphs; engine 'torch' needs {WEIGHTS_NAME}"
        raise SettingsError("engine 'torch'", detail)
    return _filled(LiteMedSam(), folder, read_layout(shared_file(f"models/lite-medsam/{LAYOUT_NAME}")))


def load_box_unet(folder: Path) -> BoxUnet:
    """Return the built-in network, folded, with the weights in `folder`, on the CPU in float32."""
    return _filled(folded(BoxUnet()), folder, read_layout(shared_file(f"models/box-unet/{LAYOUT_NAME}")))


def _filled(network: N, folder: Path, layout: Layout) -> N:
    """Return `network` with the tensors of `layout` from the weights file in `folder`."""
    content = (folder / WEIGHTS_NAME).read_bytes()
    offsets = offsets_of(layout)
    state = {
        one.name: torch.from_numpy(
            np.frombuffer(content, one.dtype, one.size // np.dtype(one.dtype).itemsize, offsets[one.name][0])
            .reshape(one.shape)
            .copy()
        )
        for one in layout
    }
    network.load_state_dict(state, strict=True)
    return network.eval()
