"""What `box-unet` is shown in training, and how it is judged there."""

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

from dicomnode.inference.crops import BOX, SIDE  # noqa: E402 - needs torch
from dicomnode.inference.networks.box_unet import BoxUnet  # noqa: E402
from dicomnode.training import box_unet  # noqa: E402
from dicomnode.training.box_unet import BoxUnetTask, Shown  # noqa: E402

COUNT = 6


class Answers(torch.nn.Module):  # type: ignore[misc]
    """A network that answers what it was told of each sample, in order, however they are split up."""

    def __init__(self, logits: Any, quality: float) -> None:  # noqa: ANN401
        super().__init__()
        self.quality = torch.nn.Parameter(torch.tensor(quality))
        self._logits, self._at = logits, 0

    def forward(self, crops: Any) -> Any:  # noqa: ANN401
        part = self._logits[self._at : self._at + len(crops)]
        self._at += len(crops)
        return part, self.quality.detach().expand(len(crops))


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> BoxUnetTask:
    monkeypatch.setattr(box_unet, "VALIDATION_COUNT", COUNT)
    return BoxUnetTask(network=BoxUnet(), seed=3, size=4)


def truths(task: BoxUnetTask) -> Any:  # noqa: ANN401
    task.validate(Answers(torch.zeros(COUNT, SIDE, SIDE), 0.5))
    return torch.from_numpy(task._validation[0].truths)  # noqa: SLF001 - what it is judged by


def test_an_answer_that_is_right_is_the_best(task: BoxUnetTask) -> None:
    right = (truths(task) > 0.5).float() * 40 - 20
    figures = task.validate(Answers(right, 1.0))
    assert figures["mean_dice"] == pytest.approx(1)
    assert figures["quality"] == pytest.approx(0)
    wrong = task.validate(Answers(-right, 1.0))
    assert wrong["mean_dice"] == pytest.approx(0)
    assert wrong["loss"] > figures["loss"] + 1
    assert wrong["quality"] == pytest.approx(1)


def test_what_is_found_outside_the_box_counts_neither_for_the_masks_nor_for_their_overlap(task: BoxUnetTask) -> None:
    right = (truths(task) > 0.5).float() * 40 - 20
    box = torch.from_numpy(task._validation[0].crops[:, BOX])  # noqa: SLF001
    figures = task.validate(Answers(torch.where(box > 0, right, 20.0), 1.0))
    assert figures["mean_dice"] == pytest.approx(1)
    nothing_outside = task.validate(Answers(torch.where(box > 0, right, -20.0), 1.0))
    assert figures["quality"] == pytest.approx(nothing_outside["quality"])


def test_it_is_judged_on_the_same_samples_each_time_and_on_none_of_training(task: BoxUnetTask) -> None:
    network = BoxUnet().eval()
    with torch.no_grad():
        assert task.validate(network) == task.validate(network)
    shown = {crop.tobytes() for step in range(3) for crop in task.batch(step).crops}
    assert not shown & {crop.tobytes() for crop in task._validation[0].crops}  # noqa: SLF001


def test_the_losses_of_a_batch_make_up_its_loss(task: BoxUnetTask) -> None:
    batch = Shown(*(torch.from_numpy(one) for one in task.batch(0)))
    assert torch.isfinite(batch.crops).all()
    losses = task.losses(Answers(torch.zeros(4, SIDE, SIDE), 0.5), batch)
    parts = losses["entropy"] + losses["dice"] + box_unet.QUALITY_WEIGHT * losses["quality"]
    assert float(losses["loss"]) == pytest.approx(float(parts))
