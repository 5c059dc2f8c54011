"""Bring the weights of the built-in network into the form that is shipped: folded, in half precision, safetensors."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dicomnode.errors import Reason, Refused
from dicomnode.inference.layouts import WEIGHTS_NAME, Layout, layout_of
from dicomnode.inference.lineage import sha256_of
from dicomnode.inference.networks.box_unet import BoxUnet, folded
from dicomnode.inference.safetensors_file import write_weights


def write_shipped(state: Mapping[str, Tensor], folder: Path) -> str:
    """Write `state`, the state dict of a trained BoxUnet, into `folder` as the weights that are shipped.

    Return their sha256, which `models/catalog.toml` must say. Numbers that are not finite in the form that is shipped
    are refused as BAD_MODEL, and nothing is written; a state dict of another network is PyTorch's RuntimeError.
    """
    network = BoxUnet()
    network.load_state_dict(state)
    whole = folded(network)
    layout, path = in_half(layout_of(whole)), folder / WEIGHTS_NAME
    tensors = whole.state_dict()
    stored = {one.name: tensors[one.name].to(getattr(torch, one.dtype)) for one in layout}
    for name, tensor in stored.items():
        if not torch.isfinite(tensor).all():
            raise Refused(Reason.BAD_MODEL, str(path), f"numbers of {name} are not finite in {tensor.dtype}")
    write_weights(path, layout, {name: tensor.numpy() for name, tensor in stored.items()})
    return sha256_of(path)


def in_half(layout: Layout) -> Layout:
    """Return `layout` with kernels and matrices in float16; what has one axis, the biases, stays."""
    return tuple(
        one._replace(dtype="float16") if one.dtype == "float32" and len(one.shape) > 1 else one for one in layout
    )
