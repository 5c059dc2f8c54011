"""Tell whether two ONNX graphs are the encoder and the decoder of a network that can be run."""

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from dicomnode.errors import Reason, Refused
from dicomnode.inference.layouts import DECODER_NAME, ENCODER_NAME

BOXES = "boxes"
_FLOAT = "tensor(float)"
_SIDE = 256
_EXPECTED = (
    "expected are an encoder with one input (b, 3, 256, 256), and a decoder whose inputs are the encoder's outputs and "
    "boxes (n, 4), and whose outputs are logits (n, 256, 256) and qualities (n), all float"
)


class Port(NamedTuple):
    """One input or output of a graph; a size that may vary is None."""

    name: str
    type: str
    shape: tuple[int | None, ...]


class Signature(NamedTuple):
    """What a graph takes and gives."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def pair_in(paths: Sequence[Path]) -> tuple[Path, Path] | None:
    """Return the two graphs that `paths` are, or that lie in the folder that it is; None if it is something else."""
    match paths:
        case [folder] if folder.is_dir():
            if missing := [name for name in (ENCODER_NAME, DECODER_NAME) if not (folder / name).is_file()]:
                detail = f"the folder has no {' and no '.join(missing)}; a folder is imported with both, or a file"
                raise Refused(Reason.BAD_MODEL, str(folder), detail)
            return folder / ENCODER_NAME, folder / DECODER_NAME
        case [first, second] if first.suffix == second.suffix == ".onnx":
            return first, second
        case _:
            return None


def signature_of(graph: Path) -> Signature:
    """Return what the graph in the file at `graph` takes and gives, as ONNX Runtime reads it."""
    found: Signature = import_module("dicomnode.inference.onnx_runtime").signature_of(graph)
    return found


def check_pair(encoder: Signature, decoder: Signature, what: str) -> None:
    """Refuse two graphs that do not fit together as an encoder and a decoder; `what` names them."""
    features = [one.name for one in encoder.outputs]
    fits = (
        _are(encoder.inputs, [(None, 3, _SIDE, _SIDE)])
        and [one.name for one in decoder.inputs] == [*features, BOXES]
        and _are(decoder.inputs[-1:], [(None, 4)])
        and _are(decoder.outputs, [(None, _SIDE, _SIDE), (None,)])
    )
    if not fits:
        raise Refused(Reason.BAD_MODEL, what, f"found {_told(encoder)} and {_told(decoder)}; {_EXPECTED}")


def _are(ports: Sequence[Port], shapes: Sequence[tuple[int | None, ...]]) -> bool:
    """Return whether `ports` are floats of `shapes`; the first size of each, and one that may vary, are free."""
    return len(ports) == len(shapes) and all(
        port.type == _FLOAT
        and len(port.shape) == len(shape)
        and all(size in {None, wanted} for size, wanted in zip(port.shape[1:], shape[1:], strict=True))
        for port, shape in zip(ports, shapes, strict=True)
    )


def _told(signature: Signature) -> str:
    return f"{_listed(signature.inputs)} -> {_listed(signature.outputs)}"


def _listed(ports: Iterable[Port]) -> str:
    return ", ".join(f"{one.name} ({', '.join(str(size or '?') for size in one.shape)})" for one in ports)
