"""Tell networks by the names and shapes of their tensors, and say what is wrong with a file that does not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dicomnode.errors import Reason, Refused
from dicomnode.inference.layouts import Layout
from dicomnode.inference.tensor_files import FLOATS, StoredTensor
from dicomnode.inference.words import few, shown

LITE_MEDSAM = "lite-medsam"
ONNX_PAIR = "onnx-pair"  # any network of which an encoder and a decoder were exported
_TITLE = "LiteMedSAM"
_STEM = "image_encoder.patch_embed.seq.0.c.weight"
_POSITIONS = "image_encoder.pos_embed"


class _Known(NamedTuple):
    """A network that is not run: one of its tensors, the shape of it, and how it differs."""

    title: str
    name: str
    shape: tuple[int, ...]
    difference: str


_VIT = "it is a plain vision transformer, and only LiteMedSAM's TinyViT is run"
_OTHERS = (
    _Known("MobileSAM", _STEM, (32, 3, 3, 3), "its first kernels are 3x3 with stride 2 (LiteMedSAM's are 1x1)"),
    _Known("SAM, MedSAM or MedicoSAM with ViT-B", _POSITIONS, (1, 64, 64, 768), _VIT),
    _Known("SAM with ViT-L", _POSITIONS, (1, 64, 64, 1024), _VIT),
    _Known("SAM with ViT-H", _POSITIONS, (1, 64, 64, 1280), _VIT),
    _Known("EfficientSAM-Ti", _POSITIONS, (1, 197, 192), _VIT),
    _Known("EfficientSAM-S", _POSITIONS, (1, 197, 384), _VIT),
    _Known("SAM-Med3D", _POSITIONS, (1, 8, 8, 8, 768), "it takes blocks of 128x128x128 voxels and no boxes"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """How the tensors of a file differ from a layout."""

    missing: Sequence[str]
    unexpected: Sequence[str]
    other: Sequence[str]

    @property
    def exact(self) -> bool:
        """Return whether they do not."""
        return not (self.missing or self.unexpected or self.other)


def check_architecture(tensors: Mapping[str, StoredTensor], layout: Layout, what: str) -> None:
    """Refuse `tensors` unless they are those of `layout`; say what was found and what was expected.

    `what` names the file.
    """
    fit = fit_of(tensors, layout)
    if fit.exact:
        return
    expected = f"expected is {_TITLE} with its {len(layout)} tensors"
    known = next((one for one in _OTHERS if one.name in tensors and tensors[one.name].shape == one.shape), None)
    if known is not None:
        found = f"found {known.title}, {len(tensors)} tensors: {known.difference}"
        raise Refused(Reason.BAD_MODEL, what, f"{found}; {expected}")
    fitting = len(layout) - len(fit.missing) - len(fit.other)
    found = f"found {len(tensors)} tensors, {fitting} of which fit"
    raise Refused(Reason.BAD_MODEL, what, f"{found}; {expected}: {'; '.join(_differences(fit))}")


def fit_of(tensors: Mapping[str, StoredTensor], layout: Layout) -> Fit:
    """Return how `tensors` differ from `layout`: in names, in shapes, or in what kind of number they hold."""
    expected = {one.name: one for one in layout}
    other = []
    for name, one in tensors.items():
        wanted = expected.get(name)
        if wanted is not None and one.shape != wanted.shape:
            other.append(f"{name} {shown(one.shape)} instead of {wanted.shape}")
        elif wanted is not None and (one.dtype in FLOATS) != (wanted.dtype in FLOATS):
            other.append(f"{name} {one.dtype} instead of {wanted.dtype}")
    return Fit(
        missing=[one.name for one in layout if one.name not in tensors],
        unexpected=[shown(name) for name in tensors if name not in expected],
        other=other,
    )


def _differences(fit: Fit) -> list[str]:
    """Return a sentence on each kind of difference there is."""
    kinds = (("missing", fit.missing), ("unexpected", fit.unexpected), ("of another shape or type", fit.other))
    return [f"{len(names)} {'is' if len(names) == 1 else 'are'} {kind}: {few(names)}" for kind, names in kinds if names]
