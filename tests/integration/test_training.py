"""The trainer: a training that is ended anywhere goes on as if nothing had been."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from dicomnode.errors import Reason, Refused, SettingsError  # noqa: E402 - needs torch
from dicomnode.training.checkpoints import read_checkpoint  # noqa: E402
from dicomnode.training.history import read_history  # noqa: E402
from dicomnode.training.loop import Result, Schedule, Tail, Told, train  # noqa: E402
from tests.training_tasks import SmallTask, small_network  # noqa: E402

SCHEDULE = Schedule(steps=40, rate=0.01, ema=0.9, clip=1.0, validate_every=10, checkpoint_every=7)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training that was not ended."""
    folder = tmp_path_factory.mktemp("whole")
    train(SmallTask(), SCHEDULE, folder)
    return folder


def assert_same(folder: Path, whole: Path) -> None:
    for name in ("history.csv", "curve.png"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    for name in ("latest.pt", "best.pt"):
        one, other = (read_checkpoint(path / name) for path in (folder, whole))
        assert one
        assert other
        assert all(torch.equal(one["model"][key], value) for key, value in other["model"].items())


def test_it_learns_and_says_so(whole: Path) -> None:
    rows = read_history(whole / "history.csv")
    assert [row["step"] for row in rows] == [0, 10, 20, 30, 40]
    assert rows[-1]["validation_loss"] < 0.8 * rows[0]["validation_loss"]
    with Image.open(whole / "curve.png") as picture:
        assert picture.size == (900, 540)
    best = read_checkpoint(whole / "best.pt")
    assert best
    assert best["step"] == 40
    assert best["figures"]["loss"] == pytest.approx(rows[-1]["validation_loss"], rel=1e-5)


def test_killed_and_continued_it_is_the_same_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from dicomnode.training.loop import train\n"
        "from tests.integration.test_training import SCHEDULE; from tests.training_tasks import SmallTask\n"
        f"import torch; torch.set_num_threads({torch.get_num_threads()})\n"  # more of them add in another order
        "train(SmallTask(kill_at=33), SCHEDULE, Path(sys.argv[1]))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program, tmp_path], cwd=root, check=False, timeout=120)
    assert done.returncode == -9
    kept = read_checkpoint(tmp_path / "latest.pt")
    assert kept
    assert (kept["step"], read_history(tmp_path / "history.csv")[-1]["step"]) == (28, 30)  # a row that comes again
    train(SmallTask(), SCHEDULE, tmp_path)
    assert_same(tmp_path, whole)


def test_a_signal_ends_it_after_the_step_with_all_kept(whole: Path, tmp_path: Path) -> None:
    ended = train(SmallTask(end_at=12), SCHEDULE, tmp_path)
    assert (ended.step, ended.finished) == (13, False)
    assert train(SmallTask(), SCHEDULE, tmp_path).finished
    assert_same(tmp_path, whole)


def test_batches_made_ahead_by_other_processes_are_the_same(whole: Path, tmp_path: Path) -> None:
    schedule = Schedule(**{**{name: getattr(SCHEDULE, name) for name in SCHEDULE.__slots__}, "workers": 1})
    train(SmallTask(), schedule, tmp_path)
    assert_same(tmp_path, whole)


def test_it_does_not_go_on_with_other_settings(whole: Path) -> None:
    with pytest.raises(SettingsError, match="size was 2 and is 3"):
        train(SmallTask(size=3), SCHEDULE, whole)


def test_a_training_that_is_done_is_not_done_again(whole: Path) -> None:
    told: list[Told] = []
    assert train(SmallTask(), SCHEDULE, whole, told.append) == Result(
        step=40, best=train(SmallTask(), SCHEDULE, whole).best, finished=True
    )
    assert told == []


def test_a_loss_that_is_no_number_ends_it_and_keeps_what_was_before(tmp_path: Path) -> None:
    schedule = Schedule(steps=40, rate=1e30, tail=Tail.PLATEAU, validate_every=10, checkpoint_every=10)
    with pytest.raises(Refused, match="no number any more at step 10") as refused:
        train(SmallTask(), schedule, tmp_path)
    assert refused.value.reason is Reason.FAILED_CHECK
    kept = read_checkpoint(tmp_path / "latest.pt")
    assert kept
    assert kept["step"] == 0


def test_a_frozen_part_stays_as_it_is_its_statistics_too(tmp_path: Path) -> None:
    network = small_network()
    network[1].requires_grad_(requires_grad=False)
    before = {name: value.clone() for name, value in network[1].state_dict().items()}
    train(SmallTask(network=network), Schedule(steps=3, rate=0.01), tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in network[1].state_dict().items())


def test_two_processes_learn_from_both_batches_as_one_does_from_their_union(tmp_path: Path) -> None:
    names = ("0.weight", "0.bias")

    def network() -> nn.Module:
        torch.manual_seed(2)
        return nn.Sequential(nn.Conv2d(1, 1, 3, padding=1))

    schedule = Schedule(steps=3, rate=0.01, tail=Tail.PLATEAU, validate_every=3, gpus=2)
    train(SmallTask(network=network()), schedule, tmp_path / "two")
    train(
        SmallTask(network=network(), joined=2),
        Schedule(steps=3, rate=0.01, tail=Tail.PLATEAU, validate_every=3),
        tmp_path,
    )
    two, one = (read_checkpoint(path / "latest.pt") for path in (tmp_path / "two", tmp_path))
    assert two
    assert one
    assert sorted(two["model"]) == sorted(names)  # no trace of what joins the processes
    for name in names:
        assert torch.allclose(two["model"][name], one["model"][name], atol=1e-6)
