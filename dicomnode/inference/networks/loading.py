"""Load the network of an imported model."""

from pathlib import Path

import numpy as np
import torch

from dicomnode.errors import SettingsError
from dicomnode.inference.layouts import LAYOUT_NAME, WEIGHTS_NAME, offsets_of, read_layout
from dicomnode.inference.networks.lite_medsam import LiteMedSam
from dicomnode.shared import shared_file


def load_network(folder: Path) -> LiteMedSam:
    """Return LiteMedSAM with the weights in `folder`, on the CPU."""
    if not (folder / WEIGHTS_NAME).exists():
        detail = f"model {folder.name!r} has its weights in its graphs; engine 'torch' needs {WEIGHTS_NAME}"
        raise SettingsError("engine 'torch'", detail)
    layout = read_layout(shared_file(f"models/lite-medsam/{LAYOUT_NAME}"))
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
    network = LiteMedSam()
    network.load_state_dict(state, strict=True)
    return network.eval()
