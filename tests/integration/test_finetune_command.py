"""`dicomnode finetune` where torch is not installed."""

import sys

import pytest

from dicomnode.errors import SettingsError
from dicomnode_cli import finetune


def test_without_torch_it_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [one for one in sys.modules if one.startswith("dicomnode.training.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SettingsError, match=r"torch, which is not installed: pip install 'dicomnode\[torch\]'"):
        finetune.training_module()
