"""Where a fine-tuning begins: the weights of a model, of a checkpoint, or random ones."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dicomnode.inference.networks.lite_medsam import LiteMedSam

_POSITIONS = 0.3  # standard deviation of what is added to features


def random_network(seed: int, images: Tensor) -> LiteMedSam:
    """Return LiteMedSAM with random weights such that its features are of the order of 1.

    Its batch norms are settled on `images`, (plane, 3, 256, 256) float32 0..1.
    """
    generator = torch.Generator().manual_seed(seed)
    network = LiteMedSam()
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            inputs = module.weight.shape[0] if isinstance(module, nn.ConvTranspose2d) else module.weight[0].numel()
            nn.init.trunc_normal_(module.weight, std=inputs**-0.5, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=_POSITIONS, generator=generator)
    nn.init.normal_(network.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix, generator=generator)
    _settle(network, images)
    return network.eval()


def network_of(arrays: dict[str, NDArray[np.float32] | NDArray[np.int64]]) -> LiteMedSam:
    """Return LiteMedSAM with the tensors `arrays`, which are those of its layout."""
    network = LiteMedSam()
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, strict=True)
    return network.eval()


def _settle(network: LiteMedSam, images: Tensor) -> None:
    """Let the batch norms have the statistics of `images`."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the mean over all it is shown
    with torch.no_grad():
        network.train().encode(images)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
