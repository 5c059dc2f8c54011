"""`dicomnode finetune` and `train` where something is missing or wrong."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicomnode.errors import SettingsError
from dicomnode_cli.main import app
from dicomnode_cli.training import training_module


@pytest.mark.parametrize(("module", "command"), [("finetuning", "finetune"), ("built_in", "train")])
def test_without_torch_it_says_what_installs_it(module: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [one for one in sys.modules if one.startswith("dicomnode.training.")]:
        monkeypatch.delitem(sys.modules, name)
    says = rf"dicomnode {command}: .*torch, which is not installed: pip install 'dicomnode\[torch\]'"
    with pytest.raises(SettingsError, match=says):
        training_module(module, command)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nobody", "."), "model 'nobody': BAD_SETTING: there is none"),
        (("random", "elsewhere"), "data 'elsewhere': BAD_SETTING: there is no such file or folder"),
        (("random", ".", "--validation", "elsewhere"), "data 'elsewhere': BAD_SETTING: there is no such file"),
        (("random", ".", "--validation", "1.5"), r"validation 1\.5: BAD_SETTING: a share lies between 0 and 1"),
        (("random", ".", "--window", "wide"), "window 'wide': BAD_SETTING: allowed are"),
        (("random", ".", "--rate", "0"), r"rate 0\.0: BAD_SETTING: it is greater than 0"),
        (("random", ".", "--device", "cuda", "--gpus", "99"), "device 'cuda' number 98: BAD_SETTING: .* finds"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_read(
    arguments: tuple[str, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    monkeypatch.chdir(tmp_path)
    environment = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}
    command = ["finetune", *arguments, "--as", "ours", "--output", "run"]
    done = CliRunner().invoke(app, command, env=environment)
    with pytest.raises(SettingsError, match=says):
        raise done.exception or AssertionError(done.output)
    assert not (tmp_path / "run").exists()
