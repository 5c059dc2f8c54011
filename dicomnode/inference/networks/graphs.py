"""Make the graphs that the package ships: the networks without their weights, for engines other than torch.

The tensors of a graph bear their published names and are ONNX external data: they lie in `weights.safetensors` beside
it, at offsets that the layout alone decides. Those that lie there in half precision are cast by the graph, which
engines do once, when they load it. `make graphs` runs this; it needs torch and onnx.
"""

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from dicomnode.inference.crops import CHANNELS
from dicomnode.inference.crops import SIDE as CROP_SIDE
from dicomnode.inference.layouts import (
    DECODER_NAME,
    ENCODER_NAME,
    LAYOUT_NAME,
    NETWORK_NAME,
    WEIGHTS_NAME,
    Layout,
    layout_of,
    offsets_of,
    write_layout,
)
from dicomnode.inference.networks.box_unet import BoxUnet, folded
from dicomnode.inference.networks.lite_medsam import LiteMedSam
from dicomnode.inference.networks.mask_decoder import PlaneFeatures
from dicomnode.inference.networks.shipping import in_half
from dicomnode.inference.networks.tiny_vit import SIDE

N = TypeVar("N", bound=nn.Module)

_OPSET = 20
_PLANES, _BOXES = 2, 3  # of the examples that are traced; how many there are is free in the graphs


class Encoder(LiteMedSam):
    """The network as a graph of its first half: images to the features of planes."""

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Return the features of each of `images`."""
        return tuple(self.encode(images))


class Decoder(LiteMedSam):
    """The network as a graph of its second half: the features of a plane, and boxes on it, to logits and qualities."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return logits and qualities for the features and, last, the boxes."""
        *features, boxes = inputs
        return self.decode(PlaneFeatures(*features), boxes)


def make_graphs(folder: Path) -> None:
    """Write both graphs of LiteMedSAM and the layout of their weights into `folder`."""
    torch.manual_seed(0)
    images = torch.rand(_PLANES, 3, SIDE, SIDE)
    encoder = _distinct(Encoder())
    decoder = Decoder().eval()
    decoder.load_state_dict(encoder.state_dict())
    with torch.inference_mode():
        features = PlaneFeatures(*(one[:1] for one in encoder.encode(images)))
    names = list(PlaneFeatures._fields)
    graphs = {
        ENCODER_NAME: _traced(encoder, (images,), (["images"], names), "plane"),
        DECODER_NAME: _traced(
            decoder, (*features, torch.rand(_BOXES, 4) * SIDE), ([*names, "boxes"], ["logits", "quality"]), "box"
        ),
    }
    _write(graphs, layout_of(encoder, _used(graphs)), folder)


def make_network(folder: Path) -> None:
    """Write the graph of the built-in network and the layout of its weights, in half precision, into `folder`."""
    torch.manual_seed(0)
    network = _distinct(folded(BoxUnet()))
    crops = torch.rand(_BOXES, CHANNELS, CROP_SIDE, CROP_SIDE)
    graphs = {NETWORK_NAME: _traced(network, (crops,), (["crops"], ["logits", "quality"]), "box")}
    layout = in_half(layout_of(network, _used(graphs)))
    _cast(graphs[NETWORK_NAME].graph, layout)
    _write(graphs, layout, folder)


def _used(graphs: Mapping[str, onnx.ModelProto]) -> set[str]:
    """Return the names of the tensors that `graphs` read."""
    return {one.name for graph in graphs.values() for one in graph.graph.initializer}


def _write(graphs: Mapping[str, onnx.ModelProto], layout: Layout, folder: Path) -> None:
    """Write `graphs` without the tensors of `layout`, and the layout, into `folder`."""
    write_layout(layout, folder / LAYOUT_NAME)
    for name, graph in graphs.items():
        _move_out(graph, layout)
        (folder / name).write_bytes(graph.SerializeToString(deterministic=True))


def _distinct(network: N) -> N:
    """Return `network` with no two tensors alike: equal ones would become one in a graph."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.02)
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            nn.init.uniform_(buffer, 0.5, 1.5)
        elif buffer.is_floating_point():
            nn.init.normal_(buffer)
    return network.eval()


def _traced(
    network: nn.Module, example: Sequence[Tensor], names: tuple[list[str], list[str]], free: str
) -> onnx.ModelProto:
    """Return the graph of `network`; the first axis of the last input and of the outputs is as long as it may be.

    Nothing is folded: batch normalisation and all that depends on weights alone is left to the engine that loads them.
    """
    inputs, outputs = names
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about its successor
        torch.onnx.export(
            network,
            tuple(example),
            path := Path(folder) / "graph.onnx",
            dynamo=False,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            opset_version=_OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: free} for name in (inputs[-1], *outputs)},
        )
        return onnx.load(path)


def _cast(graph: onnx.GraphProto, layout: Layout) -> None:
    """Let `graph` take what lies in half precision as such, and cast it before it is used."""
    halves = {one.name for one in layout if one.dtype == "float16"}
    for node in graph.node:
        renamed = [f"{name}.single" if name in halves else name for name in node.input]
        del node.input[:]
        node.input.extend(renamed)
    casts = []
    for tensor in graph.initializer:
        if tensor.name in halves:
            tensor.data_type = onnx.TensorProto.FLOAT16
            casts.append(helper.make_node("Cast", [tensor.name], [f"{tensor.name}.single"], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _move_out(graph: onnx.ModelProto, layout: Layout) -> None:
    """Let the tensors of `graph` be read from the weights file."""
    offsets = offsets_of(layout)
    for tensor in graph.graph.initializer:
        offset, length = offsets[tensor.name]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS_NAME), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))


if __name__ == "__main__":
    make_graphs(Path(sys.argv[1]) / "lite-medsam")
    make_network(Path(sys.argv[1]) / "box-unet")
