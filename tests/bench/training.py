"""Train LiteMedSAM from nothing on drawn scenes, far enough that its masks are objects and not noise.

`python tests/bench/training.py STEPS FILE` writes a checkpoint (a step takes 2 to 3 s on two cores, 600 are enough);
`python tests/bench/inference.py FILE` compares the masks of engines and precisions with it. It is no model to use.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dicomnode.inference.networks.lite_medsam import LiteMedSam
from dicomnode.training.starting import random_network
from tests.bench.scenes import Scene, drawn

OBJECTS, RATE, WARM_UP, SEED = 6, 4e-4, 50, 0


def main(steps: int, file: Path) -> None:
    """Train for `steps` scenes; write the state dict to `file`."""
    torch.manual_seed(SEED)
    generator = np.random.default_rng(SEED)
    network = random_network(SEED, torch.stack([_image(drawn(generator, OBJECTS)) for _ in range(2)]))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    for step in range(steps):
        scene = drawn(generator, OBJECTS)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARM_UP) * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        loss = _loss(network, scene)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        sys.stderr.write(f"\r{step + 1}/{steps}: loss {loss.item():.3f}")
    torch.save(network.state_dict(), file)


def _loss(network: LiteMedSam, scene: Scene) -> Tensor:
    """Return cross entropy, in which the objects weigh ten times the ground, Dice loss, and the error of the IoU."""
    masks = torch.from_numpy(scene.masks.astype(np.float32))
    with torch.autocast("cpu", torch.bfloat16):
        logits, quality = network.decode(network.encode(_image(scene)[None]), torch.from_numpy(scene.boxes))
    logits = logits.float()
    shares = logits.sigmoid()
    both, either = (shares * masks).sum((1, 2)), (shares + masks).sum((1, 2))
    found = logits.detach() > 0
    overlap = (found & (masks > 0)).sum((1, 2)) / (found | (masks > 0)).sum((1, 2))
    entropy = functional.binary_cross_entropy_with_logits(logits, masks, weight=1 + 9 * masks)
    return entropy + (1 - (2 * both + 1) / (either + 1)).mean() + 0.1 * functional.mse_loss(quality.float(), overlap)


def _image(scene: Scene) -> Tensor:
    return torch.from_numpy(scene.image).expand(3, -1, -1)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
