"""Say what this CPU computes in."""

import torch

_BF16 = ("avx512_bf16", "amx_bf16", "bf16")  # what PyTorch calls it, on x86-64 and on ARM


def cpu_computes_in_bf16() -> bool:
    """Return whether the CPU has instructions for bf16; of a PyTorch that does not tell, it is taken to have none.

    Without them PyTorch imitates bf16, and takes ten times as long as in fp32.
    """
    told = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(told.get(name) for name in _BF16)
