"""Two graphs are a model if the decoder takes what the encoder gives, and boxes."""

import pytest

from dicomnode.errors import Refused
from dicomnode.inference.onnx_pairs import Port, Signature, check_pair

FLOAT = "tensor(float)"
IMAGE = Port("image", FLOAT, (None, 3, 256, 256))
FEATURES = Port("embedding", FLOAT, (1, 256, 64, 64))
BOXES = Port("boxes", FLOAT, (None, 4))
LOGITS = Port("logits", FLOAT, (None, 256, 256))
QUALITY = Port("iou", FLOAT, (None,))
ENCODER = Signature((IMAGE,), (FEATURES,))
DECODER = Signature((FEATURES, BOXES), (LOGITS, QUALITY))


def test_an_encoder_and_a_decoder_fit() -> None:
    check_pair(ENCODER, DECODER, "a pair")


def test_several_features_fit_in_their_order() -> None:
    key, value = (Port(name, FLOAT, (1, 4096, 128)) for name in ("key", "value"))
    encoder = Signature((IMAGE,), (key, value))
    check_pair(encoder, Signature((key, value, BOXES), DECODER.outputs), "a pair")
    with pytest.raises(Refused):
        check_pair(encoder, Signature((value, key, BOXES), DECODER.outputs), "a pair")


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [
        (DECODER, ENCODER),
        (DECODER, DECODER),
        (Signature((IMAGE, BOXES), (FEATURES,)), DECODER),
        (Signature((IMAGE._replace(shape=(1, 3, 1024, 1024)),), (FEATURES,)), DECODER),
        (Signature((IMAGE._replace(shape=(3, 256, 256)),), (FEATURES,)), DECODER),
        (Signature((IMAGE._replace(type="tensor(uint8)"),), (FEATURES,)), DECODER),
        (Signature((IMAGE,), (FEATURES._replace(name="image_embeddings"),)), DECODER),
        (ENCODER, Signature((BOXES, FEATURES), DECODER.outputs)),
        (ENCODER, Signature((FEATURES, BOXES._replace(shape=(None, 1, 4))), DECODER.outputs)),
        (ENCODER, Signature((FEATURES, BOXES._replace(name="points")), DECODER.outputs)),
        (ENCODER, Signature(DECODER.inputs, (LOGITS,))),
        (ENCODER, Signature(DECODER.inputs, (QUALITY, LOGITS))),
        (ENCODER, Signature(DECODER.inputs, (LOGITS._replace(shape=(None, 1, 256, 256)), QUALITY))),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_found(encoder: Signature, decoder: Signature) -> None:
    with pytest.raises(Refused, match=r"^a pair: BAD_MODEL: found .* -> .*; expected are an encoder"):
        check_pair(encoder, decoder, "a pair")


def test_sizes_that_may_vary_are_shown_as_such() -> None:
    with pytest.raises(Refused, match=r"boxes \(\?, 4\) -> logits \(\?, 256, 256\), iou \(\?\) and image \(\?, 3, "):
        check_pair(DECODER, ENCODER, "a pair")
