"""What a CPU computes in, and what a training does by itself."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from dicomnode.inference.engines import Device, Precision  # noqa: E402 - needs torch
from dicomnode.inference.networks.arithmetic import cpu_computes_in_bf16  # noqa: E402
from dicomnode.training.places import chosen_precision, fastest_on_cpu  # noqa: E402


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"amx_bf16": True}, True),
        ({"architecture": "aarch64", "bf16": True}, True),
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "riscv64"}, False),
    ],
)
def test_a_cpu_computes_in_bf16_where_it_has_instructions_for_it(
    told: dict[str, object], *, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    assert cpu_computes_in_bf16() is expected
    assert fastest_on_cpu() is (Precision.BF16 if expected else Precision.FP32)


def test_of_a_pytorch_that_does_not_tell_a_cpu_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not cpu_computes_in_bf16()


def test_a_precision_that_is_asked_for_is_taken_and_fine_tuning_on_a_cpu_keeps_to_its_own() -> None:
    assert chosen_precision(Precision.BF16, Device.CPU, Precision.FP32) is Precision.BF16
    assert chosen_precision(Precision.AUTO, Device.CPU, Precision.FP32) is Precision.FP32
