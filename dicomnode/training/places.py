"""Choose where a network is trained and what is computed in, where nobody asks for it."""

import torch

from dicomnode.inference.engines import Device, Precision
from dicomnode.inference.networks.arithmetic import cpu_computes_in_bf16


def chosen_device(wanted: Device) -> Device:
    """Return the device that is `wanted`; by itself the GPU where there is one that can be used."""
    if wanted is not Device.AUTO:
        return wanted
    return Device.CUDA if torch.cuda.is_available() else Device.CPU


def chosen_precision(wanted: Precision, device: Device, on_cpu: Precision) -> Precision:
    """Return the precision that is `wanted`; by itself `on_cpu` there, and on a GPU bf16 where it has that, or fp16."""
    if wanted is not Precision.AUTO:
        return wanted
    if device is not Device.CUDA:
        return on_cpu
    return Precision.BF16 if torch.cuda.is_bf16_supported() else Precision.FP16


def fastest_on_cpu() -> Precision:
    """Return bf16 where the CPU computes in it, else fp32."""
    return Precision.BF16 if cpu_computes_in_bf16() else Precision.FP32
