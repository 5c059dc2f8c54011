"""Networks are told by the names and shapes of their tensors, and a file that does not fit is explained."""

from math import prod

import pytest

from dicomnode.errors import Reason, Refused
from dicomnode.inference.architectures import check_architecture
from dicomnode.inference.layouts import Layout, TensorLayout
from dicomnode.inference.tensor_files import StoredTensor, contiguous
from tests.checkpoints import SMALL

STEM = "image_encoder.patch_embed.seq.0.c.weight"
POSITIONS = "image_encoder.pos_embed"


def stored(shape: tuple[int, ...], dtype: str = "float32") -> StoredTensor:
    return StoredTensor(storage="0", dtype=dtype, count=prod(shape), offset=0, shape=shape, strides=contiguous(shape))


def fitting() -> dict[str, StoredTensor]:
    return {one.name: stored(one.shape, one.dtype) for one in SMALL}


def refusal(tensors: dict[str, StoredTensor], layout: Layout = SMALL) -> str:
    with pytest.raises(Refused) as refused:
        check_architecture(tensors, layout, "weights.pth")
    assert refused.value.reason is Reason.BAD_MODEL
    assert refused.value.what == "weights.pth"
    return refused.value.detail


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_tensors_that_fit_may_have_any_precision_and_order(dtype: str) -> None:
    tensors = {name: stored(one.shape, dtype if one.dtype == "float32" else "int32") for name, one in fitting().items()}
    check_architecture(dict(reversed(tensors.items())), SMALL, "weights.pth")


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        (
            STEM,
            (32, 3, 3, 3),
            "found MobileSAM, 1 tensors: its first kernels are 3x3 with stride 2 (LiteMedSAM's are 1x1)",
        ),
        (POSITIONS, (1, 64, 64, 768), "found SAM, MedSAM or MedicoSAM with ViT-B"),
        (POSITIONS, (1, 64, 64, 1024), "found SAM with ViT-L"),
        (POSITIONS, (1, 64, 64, 1280), "found SAM with ViT-H"),
        (POSITIONS, (1, 197, 192), "found EfficientSAM-Ti"),
        (POSITIONS, (1, 197, 384), "found EfficientSAM-S"),
        (POSITIONS, (1, 8, 8, 8, 768), "found SAM-Med3D"),
    ],
)
def test_other_networks_are_called_by_their_names(name: str, shape: tuple[int, ...], says: str) -> None:
    said = refusal({name: stored(shape)})
    assert says in said
    assert "expected is LiteMedSAM with its 4 tensors" in said


def test_what_is_missing_unexpected_or_of_another_shape_is_listed() -> None:
    tensors = fitting()
    del tensors["mask_decoder.iou.weight"]
    tensors["image_encoder.conv.weight"] = stored((4, 3, 3, 3))
    tensors["head.bias\n"] = stored((1,))
    assert refusal(tensors) == (
        "found 4 tensors, 2 of which fit; expected is LiteMedSAM with its 4 tensors: "
        "1 is missing: mask_decoder.iou.weight; 1 is unexpected: 'head.bias\\n'; "
        "1 is of another shape or type: image_encoder.conv.weight (4, 3, 3, 3) instead of (4, 3, 1, 1)"
    )


def test_whole_numbers_are_no_weights() -> None:
    tensors = {**fitting(), "image_encoder.bn.running_var": stored((4,), "int8")}
    assert "image_encoder.bn.running_var int8 instead of float32" in refusal(tensors)


def test_of_many_differences_the_first_are_named_and_all_are_counted() -> None:
    layout = tuple(TensorLayout(f"layer.{number}", "float32", (1,)) for number in range(100))
    assert "99 are missing: layer.1, layer.2, layer.3, layer.4, layer.5 and 94 more" in refusal(
        {"layer.0": stored((1,))}, layout
    )


def test_a_name_of_any_length_is_cut() -> None:
    assert len(refusal({**fitting(), "x" * 10_000: stored((1,))})) < 300
