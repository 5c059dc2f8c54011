"""`dicomnode train` and `finetune` where torch is not installed."""

import sys

import pytest

from dicomnode.errors import SettingsError
from dicomnode_cli.training import training_module


@pytest.mark.parametrize(("module", "command"), [("finetuning", "finetune"), ("built_in", "train")])
def test_without_torch_it_says_what_installs_it(module: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [one for one in sys.modules if one.startswith("dicomnode.training.")]:
        monkeypatch.delitem(sys.modules, name)
    says = rf"dicomnode {command}: .*torch, which is not installed: pip install 'dicomnode\[torch\]'"
    with pytest.raises(SettingsError, match=says):
        training_module(module, command)
