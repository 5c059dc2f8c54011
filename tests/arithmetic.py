"""What the CPU of this machine computes in, as the packages of the engines say."""

import pytest

from dicomnode.inference.engines import EngineName


def cpu_has_bf16(engine: EngineName) -> bool:
    """Return whether `engine` has bf16 on this CPU; skip the test where it is not installed."""
    if engine is EngineName.OPENVINO:
        ov = pytest.importorskip("openvino")
        return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    pytest.importorskip("torch")
    from dicomnode.inference.networks.arithmetic import cpu_computes_in_bf16  # noqa: PLC0415 - needs torch

    return cpu_computes_in_bf16()


def require_bf16(engine: EngineName) -> None:
    """Skip the test where `engine` has no bf16 on this CPU."""
    if not cpu_has_bf16(engine):
        pytest.skip("the CPU does not compute in bf16")
