"""LiteMedSAM in NumPy, step by step from its published description: slow, plain, and independent of the product.

The encoder is TinyViT-5M (Wu and others, ECCV 2022) with a stem that keeps the size, the decoder that of Segment
Anything (Kirillov and others, ICCV 2023). Weights are arrays by their published names; all is computed in their dtype.
Within, maps are (row, column, channel) and tokens (token, channel).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = Mapping[str, Array]

SIDE, GRID = 256, 64  # of the image and of the embedding
HEAD = 32  # channels of a head in the encoder
STAGES = {1: (2, 7), 2: (6, 14), 3: (2, 7)}  # the stages of attention -> blocks, side of a window
DECODER_HEADS = 8
EPSILON, MAP_EPSILON = 1e-5, 1e-6  # of norms of batches and tokens, and of norms over the channels of a map


def encode(weights: Weights, image: Array) -> Array:
    """Return the embedding, (256, 64, 64), of `image`, (3, 256, 256) in 0..1."""
    encoder = part(weights, "image_encoder")
    x = stem(part(encoder, "patch_embed.seq"), image.transpose(1, 2, 0))
    x = stage_of_convolutions(part(encoder, "layers.0"), x)
    for number, (depth, window) in STAGES.items():
        x = stage_of_attention(part(encoder, f"layers.{number}"), x, depth, window)
    return neck(part(encoder, "neck"), x).transpose(2, 0, 1)


def decode(weights: Weights, embedding: Array, box: Array) -> tuple[Array, float]:
    """Return logits, (256, 256), and the predicted IoU for `box`, (4,): x0, y0, x1, y1 in pixels of the image."""
    decoder, prompts = part(weights, "mask_decoder"), part(weights, "prompt_encoder")
    tokens = np.concatenate([decoder["iou_token.weight"], decoder["mask_tokens.weight"], box_tokens(prompts, box)])
    image = embedding.reshape(len(embedding), -1).T + prompts["no_mask_embed.weight"]
    tokens, image = two_way_transformer(part(decoder, "transformer"), tokens, image, dense_positions(prompts))
    pixels = upscaled(part(decoder, "output_upscaling"), image.reshape(GRID, GRID, -1))
    of_mask = perceptron(part(decoder, "output_hypernetworks_mlps.0"), tokens[1])
    quality = perceptron(part(decoder, "iou_prediction_head"), tokens[0])
    return pixels @ of_mask, float(quality[0])


def stem(weights: Weights, x: Array) -> Array:
    """Return 64 channels of `x`; both convolutions are 1 x 1, and nothing gets smaller."""
    return pointwise(weights, "2", gelu(pointwise(weights, "0", x)))


def stage_of_convolutions(weights: Weights, x: Array) -> Array:
    """Return the first stage: two blocks and a merging of patches."""
    for number in (0, 1):
        x = inverted_bottleneck(part(weights, f"blocks.{number}"), x)
    return patch_merging(part(weights, "downsample"), x)


def inverted_bottleneck(weights: Weights, x: Array) -> Array:
    """Return a block of stage 0 (MBConv): its last activation comes after the residual."""
    inner = gelu(depthwise(weights, "conv2", gelu(pointwise(weights, "conv1", x))))
    return gelu(x + pointwise(weights, "conv3", inner))


def patch_merging(weights: Weights, x: Array) -> Array:
    """Return `x` with more channels and half the size; where they become 320, the size stays."""
    x = gelu(pointwise(weights, "conv1", x))
    stride = 1 if x.shape[2] == 320 else 2
    return pointwise(weights, "conv3", gelu(depthwise(weights, "conv2", x)[::stride, ::stride]))


def stage_of_attention(weights: Weights, x: Array, depth: int, window: int) -> Array:
    """Return a later stage: `depth` blocks and, but for the last stage, a merging of patches."""
    for number in range(depth):
        x = block(part(weights, f"blocks.{number}"), x, window)
    merging = part(weights, "downsample")
    return patch_merging(merging, x) if merging else x


def block(weights: Weights, x: Array, window: int) -> Array:
    """Return a block of stages 1 to 3: attention in windows, a convolution in place of `x`, a perceptron."""
    x = x + windowed_attention(part(weights, "attn"), x, window)
    x = depthwise(weights, "local_conv", x)
    return x + linear(weights, "mlp.fc2", gelu(linear(weights, "mlp.fc1", layer_norm(weights, "mlp.norm", x))))


def windowed_attention(weights: Weights, x: Array, window: int) -> Array:
    """Return what each token gathers in its window; the last windows are filled up with zeros, which take part."""
    rows, columns, channels = x.shape
    padded = np.pad(x, ((0, -rows % window), (0, -columns % window), (0, 0)))
    result = np.empty_like(padded)
    for top in range(0, rows, window):
        for left in range(0, columns, window):
            here = np.s_[top : top + window, left : left + window]
            found = attention_in_window(weights, padded[here].reshape(-1, channels), window)
            result[here] = found.reshape(window, window, channels)
    return result[:rows, :columns]


def attention_in_window(weights: Weights, tokens: Array, window: int) -> Array:
    """Return the attention of the tokens of one window, (window * window, channel); q, k and v lie head by head."""
    qkv = linear(weights, "qkv", layer_norm(weights, "norm", tokens))
    row, column = np.divmod(np.arange(window * window), window)
    apart = abs(row[:, None] - row) * window + abs(column[:, None] - column)
    heads = []
    for head, biases in enumerate(weights["attention_biases"]):
        q, k, v = np.split(qkv[:, 3 * HEAD * head : 3 * HEAD * (head + 1)], 3, axis=1)
        heads.append(softmax(q @ k.T * HEAD**-0.5 + biases[apart]) @ v)
    return linear(weights, "proj", np.concatenate(heads, axis=1))


def neck(weights: Weights, x: Array) -> Array:
    """Return 256 channels of `x`; the convolutions, 1 x 1 and 3 x 3, have no bias."""
    x = layer_norm(weights, "1", x @ weights["0.weight"][:, :, 0, 0].T, MAP_EPSILON)
    kernel = weights["2.weight"]
    summed = sum(moved @ kernel[:, :, i, j].T for i, j, moved in neighbours(x))
    return layer_norm(weights, "3", np.asarray(summed), MAP_EPSILON)


def box_tokens(weights: Weights, box: Array) -> Array:
    """Return the tokens, (2, 256), of the first and last corner of `box`, (4,)."""
    corners = [weights["point_embeddings.2.weight"], weights["point_embeddings.3.weight"]]
    encoded = position_encoding(weights, (box.reshape(2, 2) + 0.5) / SIDE)
    return np.asarray(encoded + np.concatenate(corners))


def dense_positions(weights: Weights) -> Array:
    """Return the encodings, (4096, 256), of the places of the embedding."""
    middles = (np.arange(GRID) + 0.5) / GRID
    x, y = np.meshgrid(middles, middles)
    return position_encoding(weights, np.stack([x.ravel(), y.ravel()], axis=1))


def position_encoding(weights: Weights, points: Array) -> Array:
    """Return the random Fourier features, (point, 256), of `points`, (point, 2): x and y in 0..1."""
    matrix = weights["pe_layer.positional_encoding_gaussian_matrix"]
    angles = 2 * np.pi * ((2 * points.astype(matrix.dtype) - 1) @ matrix)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def two_way_transformer(weights: Weights, tokens: Array, image: Array, positions: Array) -> tuple[Array, Array]:
    """Return `tokens`, (token, 256), and `image`, (4096, 256), after two looks at each other; tokens look once more.

    Tokens are their own positions, added again to each query and key that they give.
    """
    x = tokens
    for number in (0, 1):
        x, image = two_way_layer(part(weights, f"layers.{number}"), x, image, (tokens, positions), first=number == 0)
    found = attention(part(weights, "final_attn_token_to_image"), x + tokens, image + positions, image)
    return layer_norm(weights, "norm_final_attn", x + found), image


def two_way_layer(
    weights: Weights, x: Array, image: Array, places: tuple[Array, Array], *, first: bool
) -> tuple[Array, Array]:
    """Return one layer; the first one's self-attention takes no positions, and its result replaces `x`."""
    of_tokens, of_image = places
    own = part(weights, "self_attn")
    x = attention(own, x, x, x) if first else x + attention(own, x + of_tokens, x + of_tokens, x)
    x = layer_norm(weights, "norm1", x)
    x = x + attention(part(weights, "cross_attn_token_to_image"), x + of_tokens, image + of_image, image)
    x = layer_norm(weights, "norm2", x)
    x = x + linear(weights, "mlp.lin2", np.maximum(linear(weights, "mlp.lin1", x), 0))
    x = layer_norm(weights, "norm3", x)
    image = image + attention(part(weights, "cross_attn_image_to_token"), image + of_image, x + of_tokens, x)
    return x, layer_norm(weights, "norm4", image)


def attention(weights: Weights, query: Array, key: Array, value: Array) -> Array:
    """Return attention in 8 heads, (query, 256), with as many channels within as its projections have."""
    projected = (linear(weights, "q_proj", query), linear(weights, "k_proj", key), linear(weights, "v_proj", value))
    heads = zip(*(np.split(one, DECODER_HEADS, axis=1) for one in projected), strict=True)
    found = [softmax(q @ k.T / q.shape[1] ** 0.5) @ v for q, k, v in heads]
    return linear(weights, "out_proj", np.concatenate(found, axis=1))


def upscaled(weights: Weights, x: Array) -> Array:
    """Return 32 channels of `x` in four times its size."""
    x = gelu(layer_norm(weights, "1", doubled(weights, "0", x), MAP_EPSILON))
    return gelu(doubled(weights, "3", x))


def doubled(weights: Weights, name: str, x: Array) -> Array:
    """Return the transposed convolution 2 x 2 of stride 2: each pixel becomes four."""
    kernel = weights[f"{name}.weight"]  # (channel in, channel out, row, column)
    result = np.empty((2 * x.shape[0], 2 * x.shape[1], kernel.shape[1]), x.dtype)
    for i in (0, 1):
        for j in (0, 1):
            result[i::2, j::2] = x @ kernel[:, :, i, j]
    return result + weights[f"{name}.bias"]


def perceptron(weights: Weights, x: Array) -> Array:
    """Return what three layers make of `x`, with ReLU between them."""
    for name in ("layers.0", "layers.1"):
        x = np.maximum(linear(weights, name, x), 0)
    return linear(weights, "layers.2", x)


def part(weights: Weights, name: str) -> Weights:
    """Return the tensors whose names begin with `name`, without it."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


def linear(weights: Weights, name: str, x: Array) -> Array:
    return np.asarray(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])


def pointwise(weights: Weights, name: str, x: Array) -> Array:
    return batch_norm(weights, f"{name}.bn", x @ weights[f"{name}.c.weight"][:, :, 0, 0].T)


def depthwise(weights: Weights, name: str, x: Array) -> Array:
    """Return each channel of `x` with its own 3 x 3 kernel."""
    kernel = weights[f"{name}.c.weight"][:, 0]
    summed = sum(kernel[:, i, j] * moved for i, j, moved in neighbours(x))
    return batch_norm(weights, f"{name}.bn", np.asarray(summed))


def neighbours(x: Array) -> list[tuple[int, int, Array]]:
    """Return the 3 x 3 moves of `x`, with zeros around it."""
    rows, columns, _ = x.shape
    around = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    return [(i, j, around[i : i + rows, j : j + columns]) for i in range(3) for j in range(3)]


def batch_norm(weights: Weights, name: str, x: Array) -> Array:
    scale = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + EPSILON)
    return (x - weights[f"{name}.running_mean"]) * scale + weights[f"{name}.bias"]


def layer_norm(weights: Weights, name: str, x: Array, epsilon: float = EPSILON) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
    return np.asarray(centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def gelu(x: Array) -> Array:
    """Return `x` times the share of a normal distribution below it."""
    return np.stack([0.5 * row * (1 + erf(row * 0.5**0.5)) for row in x])  # rows fit into a processor's cache


def erf(x: Array) -> Array:
    """Return the error function to 1.5e-7 (Abramowitz and Stegun, 7.1.26)."""
    t = 1 / (1 + 0.3275911 * abs(x))
    polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.asarray(np.sign(x) * (1 - polynomial * np.exp(-x * x)))
