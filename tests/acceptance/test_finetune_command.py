"""`dicomnode finetune` as a user runs it, from random weights on drawn scenes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dicomnode.inference.engines import EngineName, EngineWish, open_engine
from tests.bench.scenes import drawn

DICOMNODE = Path(sys.executable).parent / "dicomnode"


def run(folder: Path, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "COLUMNS": "160"}
    environment |= {name: os.environ[name] for name in ("PYTHONPATH", "OMP_NUM_THREADS") if name in os.environ}
    command: list[str | Path] = [DICOMNODE, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == expect, done.stderr + done.stdout
    return done


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write two cases of one plane each, in the format of the challenge, and one that is damaged."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(2):
        scene = drawn(np.random.default_rng(number), 2, 96)
        labels = sum(index * mask.astype(np.uint8) for index, mask in enumerate(scene.masks, start=1))
        np.savez(folder / f"2DBox_MR_{number}.npz", imgs=(255 * scene.image).astype(np.uint8), gts=labels)
    (folder / "damaged.npz").write_bytes(b"PK")
    return folder


@pytest.mark.usefixtures("data")
def test_it_learns_and_what_comes_of_it_is_a_model_of_every_engine_that_says_where_it_comes_from(
    tmp_path: Path,
) -> None:
    pytest.importorskip("torch")
    wanted = ("random", "data", "--as", "ours", "--output", "run", "--steps", "2", "--batch", "1")
    said = run(tmp_path, "finetune", *wanted, "--validation", "0.5", "--validate-every", "2").stdout
    assert "damaged.npz" in said
    assert "train        1 cases, 1 planes, 2 masks of 2 structures (label 1, label 2)" in said
    losses = [float(row.split(",")[-5]) for row in (tmp_path / "run/history.csv").read_text().splitlines()[1:]]
    header = (tmp_path / "run/history.csv").read_text().splitlines()[0].split(",")
    assert header[-5] == "validation_loss"
    assert losses[-1] < losses[0]
    lineage = json.loads(run(tmp_path, "models", "show", "ours", "--json").stdout)["lineage"]
    assert lineage["origin"] == "fine-tuned from random: random weights"
    assert lineage["training"]["parent"] == "random"
    assert lineage["training"]["steps"] == "2 of 2, 1 planes each"
    split = json.loads((tmp_path / "run/cases.json").read_text())
    assert [len(split[part]) for part in ("train", "validation")] == [1, 1]
    square = np.random.default_rng(0).random((1, 3, 256, 256), np.float32)
    answers = []
    for name in EngineName:
        pytest.importorskip("onnxruntime" if name is EngineName.ONNX else name.value)
        engine = open_engine(EngineWish(engine=name), tmp_path / ".local/share/dicomnode/models/ours")
        answers.append(engine.decode(engine.encode(square)[0], np.array([(20, 30, 200, 180)], np.float32))[0])
    assert all(np.abs(one - answers[0]).max() < 0.5 for one in answers)  # openvino computes in bf16 where it can
    again = run(tmp_path, "finetune", *wanted[:3], "other", *wanted[4:], expect=2)
    assert "--resume goes on with it" in again.stderr


@pytest.mark.usefixtures("data")
def test_what_cannot_be_done_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = run(tmp_path, "finetune", "random", "data/damaged.npz", "--as", "ours", "--output", "run", expect=1)
    assert "NO_IMAGES: there is no image with a mask that can be used" in done.stderr
    assert done.stderr.count("\n") == 1
