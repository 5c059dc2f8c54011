"""Where a fine-tuning begins: the weights of an imported model, of a checkpoint, or random ones."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dicomnode.errors import SettingsError
from dicomnode.inference.architectures import LITE_MEDSAM
from dicomnode.inference.importing import read_weights
from dicomnode.inference.layouts import LAYOUT_NAME, read_layout
from dicomnode.inference.library import check_files, find_model
from dicomnode.inference.lineage import UNKNOWN, sha256_of
from dicomnode.inference.networks.lite_medsam import LiteMedSam
from dicomnode.inference.networks.loading import load_network
from dicomnode.shared import shared_file
from dicomnode.training.wishes import RANDOM

_POSITIONS = 0.3  # standard deviation of what is added to features


@dataclass(frozen=True, kw_only=True, slots=True)
class Beginning:
    """What a fine-tuning begins with: its name and the sha256 of its weights, '' of random ones; origin and licence."""

    name: str
    sha256: str
    origin: str
    licence: str
    folder: Path | None = None

    def network(self, seed: int, images: Tensor) -> LiteMedSam:
        """Return the network; random ones are drawn by `seed`, and settled on `images` (see `random_network`)."""
        if self.folder is None:
            return random_network(seed, images)
        if self.folder.is_dir():
            return load_network(self.folder)
        _, arrays = read_weights(self.folder, read_layout(shared_file(f"models/{LITE_MEDSAM}/{LAYOUT_NAME}")))
        network = LiteMedSam()
        network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()}, strict=True)
        return network.eval()


def beginning_of(model: str, models: Path) -> Beginning:
    """Return what `model` is: one in the folder `models`, a file of weights, or random ones.

    A model that is no LiteMedSAM with a file of weights is a SettingsError.
    """
    if model == RANDOM:
        return Beginning(name=RANDOM, sha256="", origin="random weights", licence=UNKNOWN)
    if Path(model).is_file():
        return Beginning(
            name=Path(model).name, sha256=sha256_of(Path(model)), origin=UNKNOWN, licence=UNKNOWN, folder=Path(model)
        )
    found = find_model(models, model)
    lineage = found.lineage
    if lineage.architecture != LITE_MEDSAM:
        raise SettingsError(
            f"model {model!r}", f"it is {lineage.architecture}, and {LITE_MEDSAM} is what is fine-tuned"
        )
    check_files(found)
    return Beginning(
        name=model,
        sha256=lineage.weights_sha256,
        origin=lineage.origin,
        licence=lineage.licence,
        folder=found.folder,
    )


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
