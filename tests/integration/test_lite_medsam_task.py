"""What LiteMedSAM is shown when it is fine-tuned."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402 - needs torch

from dicomnode.inference.networks.lite_medsam import LiteMedSam  # noqa: E402
from dicomnode.training.history import HISTORY_NAME, read_history  # noqa: E402
from dicomnode.training.lite_medsam import LiteMedSamTask, Shown  # noqa: E402
from dicomnode.training.loop import Schedule, Told, train  # noqa: E402
from dicomnode.training.truths.prepared import prepare  # noqa: E402
from dicomnode.training.wishes import Frozen, Variation  # noqa: E402
from tests.truth_cases import case_of  # noqa: E402


@pytest.fixture
def task(tmp_path: Path) -> LiteMedSamTask:
    """Return a task on three planes of 40 x 64 pixels, each with two structures that have its number in grey."""
    planes = np.zeros((3, 40, 64), np.uint16)
    one, other = np.zeros((2, 3, 40, 64), np.bool_)
    one[:, 4:12, 6:30], other[:, 20:38, 40:60] = True, True
    for number in range(3):
        planes[number][one[number] | other[number]] = 200 + 100 * number
        planes[number, 0, 0] = 1000
    case = case_of(planes, {"one": dict(enumerate(one)), "other": dict(enumerate(other))})
    shown = Shown([(tmp_path, prepare(case, tmp_path))])
    return LiteMedSamTask(
        network=LiteMedSam(),
        train=shown,
        validation=shown,
        variation=Variation(batch=1, box_shift=5),
        frozen=Frozen.ENCODER,
    )


def test_every_plane_comes_once_before_any_comes_again_and_always_the_same(task: LiteMedSamTask) -> None:
    levels = [float(torch.median(task.batch(step).images[task.batch(step).images > 0])) for step in range(6)]
    assert sorted(np.round(levels[:3], 1)) == sorted(np.round(levels[3:], 1)) == pytest.approx([0.2, 0.3, 0.4])
    first, again = task.batch(4), task.batch(4)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_a_sample_is_one_structure_flipped_within_the_image_in_a_box_that_is_a_little_too_large(
    task: LiteMedSamTask,
) -> None:
    areas, corners, most = set(), set(), 0.0
    for step in range(40):
        image, box, truth = (part[0] for part in task.batch(step))
        rows, columns = torch.nonzero(truth, as_tuple=True)
        tight = torch.stack([columns.min(), rows.min(), columns.max(), rows.max()])
        wider = (box - tight) * torch.tensor([-1, -1, 1, 1])
        assert (wider >= 0).all()
        assert (box[2:] <= torch.tensor([255, 159])).all()
        assert not image[:, 160:].any()  # what fills the square stays at the bottom
        assert (image[:, truth] > 0).all()
        areas.add(int(truth.sum()))
        corners.add((int(image[0, :4, :4].max() > 0.9), int(image[0, 156:160, 252:].max() > 0.9)))
        most = max(most, float(wider.max()))
    assert most == 5
    assert len(areas) == 2
    assert len(corners) == 3  # the bright corner at the top left, the bottom right, or another


def test_a_frozen_encoder_learns_nothing_and_settings_name_what_matters(task: LiteMedSamTask) -> None:
    learning = {name.partition(".")[0] for name, one in task.network.named_parameters() if one.requires_grad}
    assert learning == {"mask_decoder", "prompt_encoder"}
    assert {"begun_from", "batch", "box_shift", "frozen", "train", "validation"} <= task.settings.keys()


class _Killed(BaseException):
    """What ends a training where nothing more can be written."""


def with_small_encoder() -> LiteMedSam:
    """Return LiteMedSAM, always with the same random weights, with an encoder that takes no time."""
    torch.manual_seed(0)
    network = LiteMedSam()
    small = nn.Sequential(nn.Conv2d(3, 256, 4, stride=4), nn.BatchNorm2d(256))
    network.add_module("image_encoder", small)
    nn.init.normal_(network.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix)
    return network


def test_killed_before_it_kept_its_last_step_it_comes_to_the_same_step_again(tmp_path: Path) -> None:
    planes = np.zeros((1, 64, 64), np.uint16)
    planes[0, 20:40, 10:50] = 1000
    shown = Shown([(tmp_path, prepare(case_of(planes, {"one": {0: planes[0] > 0}}), tmp_path))])
    schedule = Schedule(steps=2, rate=1e-4, validate_every=1, checkpoint_every=1)
    before: list[bytes] = []

    def task() -> LiteMedSamTask:
        return LiteMedSamTask(network=with_small_encoder(), train=shown, validation=shown, variation=Variation(batch=1))

    def end_at_last(told: Told) -> None:
        if told.row["step"] == told.steps:
            before.append((tmp_path / HISTORY_NAME).read_bytes())
            raise _Killed

    with pytest.raises(_Killed):
        train(task(), schedule, tmp_path, end_at_last)
    assert train(task(), schedule, tmp_path).finished
    assert [(tmp_path / HISTORY_NAME).read_bytes()] == before
    losses = [row["validation_loss"] for row in read_history(tmp_path / HISTORY_NAME)]
    assert len(set(losses)) == 3  # each step changed it
