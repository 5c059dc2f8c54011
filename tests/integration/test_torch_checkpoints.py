"""Checkpoints that PyTorch itself wrote, in its formats of today and of before 1.6."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.errors import Refused
from dicomnode.inference.checkpoints import open_checkpoint
from dicomnode.inference.layouts import layout_of

LEGACY_BEGIN = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."


def test_an_old_format_without_torch_is_refused_and_says_what_helps(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    path.write_bytes(LEGACY_BEGIN + bytes(100))
    program = f"""
import sys
sys.modules["torch"] = None
from pathlib import Path
from dicomnode.inference.checkpoints import open_checkpoint
with open_checkpoint(Path({str(path)!r})):
    pass
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert "BAD_MODEL: it has the format of PyTorch before 1.6, which only torch reads" in done.stderr
    assert "pip install 'dicomnode[torch]'" in done.stderr


class TestWithTorch:
    """PyTorch writes, and this reads."""

    @pytest.fixture(autouse=True)
    def _torch(self, tmp_path: Path) -> None:
        self.torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
        self.path = tmp_path / "weights.pth"
        self.torch.manual_seed(3)
        nn = self.torch.nn
        self.network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 2, bias=False))
        self.weights = {name: one.numpy().copy() for name, one in self.network.state_dict().items()}

    def read(self, tree: object, **options: object) -> dict[str, NDArray[Any]]:
        self.torch.save(tree, self.path, **options)
        with open_checkpoint(self.path) as checkpoint:
            return dict(checkpoint.arrays())

    def assert_same(self, found: dict[str, NDArray[Any]], tolerance: float = 0) -> None:
        assert list(found) == list(self.weights)
        for name, array in self.weights.items():
            assert found[name].dtype == array.dtype
            assert found[name].shape == array.shape
            assert np.allclose(found[name], array, rtol=tolerance, atol=0)

    @pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}])
    def test_a_state_dict_is_read(self, options: dict[str, Any]) -> None:
        self.assert_same(self.read(self.network.state_dict(), **options))

    @pytest.mark.parametrize("new", [True, False])
    def test_a_training_is_read_for_its_weights(self, new: bool) -> None:  # noqa: FBT001 - pytest's own call
        optimizer = self.torch.optim.AdamW(self.network.parameters())
        for parameter in self.network.parameters():
            parameter.grad = self.torch.ones_like(parameter)
        optimizer.step()
        self.weights = {name: one.numpy().copy() for name, one in self.network.state_dict().items()}
        tree = {
            "model": {f"module.{name}": one for name, one in self.network.state_dict().items()},
            "epoch": 12,
            "optimizer": optimizer.state_dict(),
            "loss": 0.5,
            "best_loss": 0.25,
        }
        self.assert_same(self.read(tree, _use_new_zipfile_serialization=new))

    @pytest.mark.parametrize("new", [True, False])
    @pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("bfloat16", 1e-2), ("float64", 0)])
    def test_other_precisions_become_float32(self, dtype: str, tolerance: float, new: bool) -> None:  # noqa: FBT001
        network = self.network.to(getattr(self.torch, dtype))
        self.assert_same(self.read(network.state_dict(), _use_new_zipfile_serialization=new), tolerance)

    def test_parameters_and_views_are_read(self) -> None:
        block = self.torch.arange(12.0).reshape(3, 4)
        tree = {"parameter": self.torch.nn.Parameter(block.t()), "row": block[1], "step": block[:, 2], "all": block}
        self.weights = {name: one.detach().numpy().copy() for name, one in tree.items()}
        self.assert_same(self.read(tree))

    @pytest.mark.parametrize("new", [True, False])
    def test_a_whole_module_is_refused_by_name(self, new: bool) -> None:  # noqa: FBT001
        with pytest.raises(Refused, match=r"torch\.nn\.modules\.container\.Sequential"):
            self.read(self.network, _use_new_zipfile_serialization=new)

    @pytest.mark.parametrize("new", [True, False])
    def test_what_would_be_run_is_refused_by_name_and_not_run(self, new: bool, tmp_path: Path) -> None:  # noqa: FBT001
        class Evil:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.system, (f"touch {tmp_path / 'ran'}",)

        with pytest.raises(Refused, match=r"(posix|os|nt)\.system"):
            self.read({**self.network.state_dict(), "evil": Evil()}, _use_new_zipfile_serialization=new)
        assert not (tmp_path / "ran").exists()

    def test_an_old_file_that_is_cut_off_is_refused(self) -> None:
        self.torch.save(self.network.state_dict(), self.path, _use_new_zipfile_serialization=False)
        content = self.path.read_bytes()
        for size in range(len(LEGACY_BEGIN), len(content) - 1, 97):
            self.path.write_bytes(content[:size])
            with pytest.raises(Refused, match="PyTorch does not read it"), open_checkpoint(self.path):
                pass

    def test_an_old_file_whose_tensor_repeats_one_number_without_end_takes_no_memory(self) -> None:
        huge = self.torch.zeros(1).expand(2**20, 2**20)
        self.torch.save({"a": huge}, self.path, _use_new_zipfile_serialization=False)
        with open_checkpoint(self.path) as checkpoint:
            assert checkpoint.tensors["a"].shape == (2**20, 2**20)

    def test_the_layout_of_a_network_is_its_state_dict(self) -> None:
        layout = layout_of(self.network, used=["0.weight"])
        assert [(one.name, one.shape) for one in layout] == [(name, one.shape) for name, one in self.weights.items()]
        assert [one.name for one in layout if one.used] == ["0.weight"]
        assert {one.dtype for one in layout} == {"float32", "int64"}
