"""`dicomnode train`: a model comes of drawn scenes and real images, and goes on where it was ended."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from dicomnode.inference.networks.box_unet import BoxUnet, folded  # noqa: E402 - needs torch
from dicomnode.inference.safetensors_file import open_safetensors  # noqa: E402
from dicomnode.training import box_unet, built_in  # noqa: E402
from dicomnode_cli.main import app  # noqa: E402

QUICK = ("--steps", "3", "--batch", "6", "--workers", "0", "--precision", "fp32", "--device", "cpu")


@pytest.fixture(autouse=True)
def _few_to_validate_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(box_unet, "VALIDATION_COUNT", 6)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    labels = np.zeros((6, 48, 48), np.uint8)
    labels[1:5, 12:30, 10:36] = 1
    (folder / "blocks").mkdir()
    noise = np.random.default_rng(0).normal(0, 30, labels.shape)
    np.savez(folder / "blocks" / "MR_block.npz", imgs=(500.0 * labels + noise).astype(np.float32), gts=labels)
    (folder / "blocks" / "notes.npz").write_bytes(b"no arrays")
    return folder


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def test_it_writes_the_model_as_it_is_shipped(truth: Path, tmp_path: Path) -> None:
    said = run(tmp_path, *QUICK, "--truth", truth, "--truth-share", "0.5")
    assert "step 3 of 3" in said
    assert "left out" in said
    assert "notes.npz" in said
    assert str(tmp_path / "model") in said
    with open_safetensors(tmp_path / "model" / "weights.safetensors") as file:
        assert isinstance(file.content, dict)
        assert set(file.content) == set(folded(BoxUnet()).state_dict())
    assert (tmp_path / "curve.png").is_file()


def test_the_same_command_comes_to_the_same(truth: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        run(tmp_path / name, *QUICK, "--truth", truth)
    one, other = (tmp_path / name / "model" / "weights.safetensors" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_other_settings_do_not_go_on(tmp_path: Path) -> None:
    run(tmp_path, *QUICK)
    done = CliRunner().invoke(app, ["train", str(tmp_path), *QUICK, "--rate", "0.001"], catch_exceptions=True)
    assert done.exit_code != 0
    assert "rate" in str(done.exception)


def test_a_training_that_a_signal_ended_says_so_and_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built_in, "train_built_in", lambda *_: built_in.Trained(2, None, ""))
    done = CliRunner().invoke(app, ["train", str(tmp_path), *QUICK])
    assert done.exit_code == 1
    assert "ended after step 2 of 3; the same command goes on" in done.output
