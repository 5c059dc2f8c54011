"""Fine-tune LiteMedSAM: what is shown to it, how that is varied, and what is asked of it.

After the training of bowang-lab/MedSAM, branch LiteMedSAM (Ma and others, "Segment anything in medical images", Nature
Communications 15:654, 2024): of each image one of its structures at random, flipped both ways half of the time, in a
box each side of which is moved outwards by up to `box_shift` pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dicomnode.inference.networks.lite_medsam import LiteMedSam
from dicomnode.inference.networks.mask_decoder import PlaneFeatures
from dicomnode.training.losses import Weights, mask_losses, overlap
from dicomnode.training.schedule import Setting
from dicomnode.training.truths.prepared import Plane, PreparedCase, PreparedPlanes
from dicomnode.training.wishes import Frozen, Variation

_VALIDATED = 4  # planes that are looked at together


class Batch(NamedTuple):
    """Planes (plane, 3, 256, 256) float32 0..1, a box on each (plane, 4) float32, its truth (plane, 256, 256) bool."""

    images: Tensor
    boxes: Tensor
    truth: Tensor


class Shown(NamedTuple):
    """The cases of one part, each with the folder that it lies in."""

    cases: Sequence[tuple[Path, PreparedCase]]

    def opened(self) -> list[PreparedPlanes]:
        """Open each."""
        return [PreparedPlanes(folder, case) for folder, case in self.cases]


@dataclass(kw_only=True)
class LiteMedSamTask:
    """The task of the trainer: the network as it begins, what it is shown, and what it is validated on.

    Of the planes to validate on at most `most` are looked at, evenly spread; all structures of each, in the middle of
    what boxes are trained with.
    """

    network: LiteMedSam
    train: Shown
    validation: Shown
    variation: Variation = field(default_factory=Variation)
    weights: Weights = field(default_factory=Weights)
    frozen: Frozen = Frozen.NOTHING
    most: int = 200
    begun_from: str = ""

    def __post_init__(self) -> None:
        """Freeze what is to stay, and open the cases."""
        parts: dict[Frozen, list[nn.Module]] = {
            Frozen.NOTHING: [],
            Frozen.ENCODER: [self.network.image_encoder],
            Frozen.DECODER: [self.network.mask_decoder, self.network.prompt_encoder],
        }
        for part in parts[self.frozen]:
            part.requires_grad_(requires_grad=False)
        self._train, self._validation = self.train.opened(), self.validation.opened()
        self._planes = _numbered(self._train)
        self._order: tuple[int, NDArray[np.intp]] = (-1, np.arange(0))

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Return what decides what is learnt: the weights to begin from, the cases, and how they are shown."""
        return {
            "begun_from": self.begun_from,
            "frozen": self.frozen.value,
            "batch": self.variation.batch,
            "box_shift": self.variation.box_shift,
            "data_seed": self.variation.seed,
            "loss_weights": "/".join(f"{weight:g}" for weight in self.weights),
            "validated_planes": self.most,
            "train": _digest(self.train),
            "validation": _digest(self.validation),
        }

    def batch(self, step: int) -> Batch:
        """Return the batch of number `step`: every plane comes once before any comes again."""
        size = self.variation.batch
        samples = [self._sample(number) for number in range(step * size, (step + 1) * size)]
        return Batch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*samples, strict=True)))

    def losses(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of `network` on `batch`."""
        logits, quality = network(batch.images, batch.boxes)
        return mask_losses(logits, quality, batch.truth, self.weights)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return the mean losses over the planes to validate on, and the mean Dice over their structures."""
        every = _numbered(self._validation)
        chosen = every[np.linspace(0, len(every) - 1, min(self.most, len(every))).round().astype(int)]
        sums: dict[str, float] = {}
        for start in range(0, len(chosen), _VALIDATED):
            together = [self._plane(self._validation, place) for place in chosen[start : start + _VALIDATED]]
            _add(sums, self._validated(network, together))
        objects = sums.pop("objects")
        return {name: value / objects for name, value in sums.items()}

    def _validated(self, network: Any, shown: Sequence[tuple[Plane, PreparedCase]]) -> dict[str, float]:  # noqa: ANN401 - LiteMedSam, by its type
        """Return the sums over all structures of some planes, and how many there are."""
        device = next(network.parameters()).device
        squares = torch.from_numpy(np.stack([plane.square for plane, _ in shown])).to(device)
        features = network.encode(squares)
        sums: dict[str, float] = {}
        for number, (plane, case) in enumerate(shown):
            half = (self.variation.box_shift // 2,) * 4
            boxes = np.stack([box_round(mask, half, case) for mask in plane.masks])
            one = PlaneFeatures(*(part[number : number + 1] for part in features))
            logits, quality = network.decode(one, torch.from_numpy(boxes).to(device))
            truth = torch.from_numpy(plane.masks).to(device)
            found = {name: float(value) for name, value in mask_losses(logits, quality, truth, self.weights).items()}
            shares = overlap(logits, truth).double()
            found["mean_dice"] = float((2 * shares / (1 + shares)).mean())
            _add(sums, {"objects": len(boxes), **{name: value * len(boxes) for name, value in found.items()}})
        return sums

    def _sample(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Return sample `number` of the training: a plane, the box of one of its structures, and that."""
        epoch, place = divmod(number, len(self._planes))
        if self._order[0] != epoch:
            order = np.random.default_rng((self.variation.seed, 0, epoch)).permutation(len(self._planes))
            self._order = (epoch, order)
        plane, case = self._plane(self._train, self._planes[self._order[1][place]])
        generator = np.random.default_rng((self.variation.seed, 1, number))
        mask = plane.masks[generator.integers(len(plane.masks))]
        across, down = generator.random(2) < 0.5  # noqa: PLR2004 - half of the time
        square, mask = _flipped(plane.square, case, across, down), _flipped(mask, case, across, down)
        shifts = generator.integers(0, self.variation.box_shift, 4, endpoint=True)
        return square, box_round(mask, shifts, case), mask

    def _plane(self, planes: Sequence[PreparedPlanes], place: NDArray[np.intp]) -> tuple[Plane, PreparedCase]:
        opened = planes[place[0]]
        return opened.plane(int(place[1])), opened.case


def _add(sums: dict[str, float], values: Mapping[str, float]) -> None:
    for name, value in values.items():
        sums[name] = sums.get(name, 0.0) + value


def box_round(
    mask: NDArray[np.bool_], shifts: Sequence[int] | NDArray[np.int64], case: PreparedCase
) -> NDArray[np.float32]:
    """Return the first and last pixels x0, y0, x1, y1 of `mask`, moved outwards by `shifts` within the image."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    tight = np.array([columns[0], rows[0], columns[-1], rows[-1]])
    moved = tight + np.array(shifts) * (-1, -1, 1, 1)
    return np.clip(moved, 0, np.array([case.width, case.height] * 2) - 1).astype(np.float32)


def _flipped(square: NDArray[Any], case: PreparedCase, across: np.bool_, down: np.bool_) -> NDArray[Any]:
    """Return `square`, (..., 256, 256), with the image in it turned round; what fills the rest stays there."""
    turned = square.copy()
    image = square[..., : case.height, : case.width]
    turned[..., : case.height, : case.width] = image[..., :: -1 if down else 1, :: -1 if across else 1]
    return turned


def _numbered(planes: Sequence[PreparedPlanes]) -> NDArray[np.intp]:
    """Return (number of the case, number of its plane) for each plane, (plane, 2)."""
    return np.array([(case, plane) for case, opened in enumerate(planes) for plane in range(len(opened))], np.intp)


def _digest(shown: Shown) -> str:
    return " ".join(case.sha256[:16] for _, case in shown.cases)
