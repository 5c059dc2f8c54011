"""Bring the weights of the built-in network into the form that the package ships: safetensors in half precision."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dicomnode.errors import Reason, Refused
from dicomnode.inference.layouts import WEIGHTS_NAME, Layout, layout_of
from dicomnode.inference.lineage import sha256_of
from dicomnode.inference.networks.box_unet import BoxUnet
from dicomnode.inference.safetensors_file import write_weights


def write_shipped(state: Mapping[str, Tensor], folder: Path) -> str:
    """Write `state`, the state dict of a trained BoxUnet, into `folder` as the weights that are shipped.

    Return their sha256, which `models/catalog.toml` must say. Tensors that are not the network's, or not finite in half
    precision, are refused as BAD_MODEL, and nothing is written.
    """
    layout = in_half(layout_of(BoxUnet()))
    path = folder / WEIGHTS_NAME
    expected = {one.name: one.shape for one in layout}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if found != expected:
        other = sorted(dict(found.items() ^ expected.items()))
        raise Refused(Reason.BAD_MODEL, str(path), f"{len(other)} tensors are not those of the network: {other[0]}")
    stored = {one.name: state[one.name].detach().cpu().to(getattr(torch, one.dtype)) for one in layout}
    for name, tensor in stored.items():
        if not torch.isfinite(tensor).all():
            raise Refused(Reason.BAD_MODEL, str(path), f"numbers of {name} are not finite in {tensor.dtype}")
    write_weights(path, layout, {name: tensor.numpy() for name, tensor in stored.items()})
    return sha256_of(path)


def in_half(layout: Layout) -> Layout:
    """Return `layout` with kernels and matrices in float16; what has one axis, such as biases and variances, stays."""
    return tuple(
        one._replace(dtype="float16") if one.dtype == "float32" and len(one.shape) > 1 else one for one in layout
    )
