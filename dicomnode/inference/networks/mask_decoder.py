"""The mask decoder of LiteMedSAM, that of Segment Anything (Kirillov and others, ICCV 2023; Apache-2.0).

The arithmetic is arranged for many boxes on one plane, and gives what the published arrangement gives:

- What does not depend on a box is computed once a plane (`prepare`).
- Of the four masks and qualities only the first are computed, which are those of a box.
- Seven tokens look at 4096 places of the image: it is cheaper to carry the tokens through both projections of an
  attention, (query weights) (key weights)^T, than to project the image. The bias of the keys is the same for all places
  and falls out of the softmax.
- A transposed convolution whose stride is its size is a linear layer, place by place; the places of the logits are put
  in order at the end, when each has one number left.
"""

from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from dicomnode.inference.networks.tiny_vit import FEATURE_CHANNELS, FEATURE_SIDE, LayerNorm2d

_HEADS, _NARROW, _WIDE = 8, 128, 2048
_DEPTH, _MASKS = 2, 4
_OWN_TOKENS, _CORNERS = 1 + _MASKS, 2  # of quality and masks, and of a box
_TOKENS = _OWN_TOKENS + _CORNERS
_PLACES = FEATURE_SIDE**2
_MIDDLE, _FINE = 64, 32  # channels after each doubling of the side
_DOUBLING = 4  # places that come of one
MASK_SIDE = FEATURE_SIDE * 4


class PlaneFeatures(NamedTuple):
    """What all boxes on a plane share, the places of the image row by row."""

    image: Tensor  # (plane, place, 256): the embedding, with the mark that no mask was given
    key: Tensor  # (plane, head, 16, place): what the tokens look for the image by, in the first layer
    value: Tensor  # (plane, head, place, 16): and what they find


class Attention(nn.Module):
    """Attention of 8 heads between tokens, or between tokens and the image, `width` channels inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = width // _HEADS
        self.q_proj = nn.Linear(FEATURE_CHANNELS, width)
        self.k_proj = nn.Linear(FEATURE_CHANNELS, width)
        self.v_proj = nn.Linear(FEATURE_CHANNELS, width)
        self.out_proj = nn.Linear(width, FEATURE_CHANNELS)

    def among(self, placed: Tensor, tokens: Tensor) -> Tensor:
        """Return what `tokens`, (box, token, 256), learn from each other; `placed` are they with their places."""
        return self.of_projected(
            placed, self._heads(self.k_proj(placed)).transpose(2, 3), self._heads(self.v_proj(tokens))
        )

    def of_projected(self, tokens: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return what tokens learn: `key` is (box, head, channel, place), `value` (box, head, place, channel)."""
        weights = self._scaled(self._heads(self.q_proj(tokens))) @ key
        return self._out(weights.softmax(dim=-1) @ value)

    def of_image(self, tokens: Tensor, placed: Tensor, image: Tensor) -> Tensor:
        """Return what tokens learn from `image`, (box, place, 256); `placed` is it with its places."""
        query = self._scaled(self._heads(self.q_proj(tokens))) @ self._by_head(self.k_proj)
        weights = query.flatten(1, 2) @ placed.transpose(1, 2)
        seen = (weights.softmax(dim=-1) @ image).view(-1, _HEADS, _TOKENS, FEATURE_CHANNELS)
        value = seen @ self._by_head(self.v_proj).transpose(1, 2)
        return self._out(value + self.v_proj.bias.view(_HEADS, 1, self.inside))

    def of_tokens(self, placed_image: Tensor, placed: Tensor, tokens: Tensor) -> Tensor:
        """Return what the image, (box, place, 256), learns from tokens; `placed` are they with their places."""
        key = self._scaled(self._heads(self.k_proj(placed)))
        query = (key @ self._by_head(self.q_proj)).flatten(1, 2)
        shift = (key @ self.q_proj.bias.view(_HEADS, self.inside, 1)).flatten(1, 2)
        weights = placed_image @ query.transpose(1, 2) + shift.transpose(1, 2)
        shares = weights.view(-1, _PLACES, _HEADS, _TOKENS).softmax(dim=-1).view(-1, _PLACES, _HEADS * _TOKENS)
        out = self.out_proj.weight.view(FEATURE_CHANNELS, _HEADS, self.inside).permute(1, 2, 0)
        told = (self._heads(self.v_proj(tokens)) @ out).flatten(1, 2)
        return shares @ told + self.out_proj.bias

    def project(self, placed: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return key and value of an image, (plane, place, 256), as `of_projected` takes them."""
        key, value = (one.view(-1, _PLACES, _HEADS, self.inside) for one in (self.k_proj(placed), self.v_proj(image)))
        return key.permute(0, 2, 3, 1), value.transpose(1, 2)

    def _heads(self, x: Tensor) -> Tensor:
        """Return (box, token, channel) as (box, head, token, channel of the head)."""
        return x.view(-1, _TOKENS, _HEADS, self.inside).transpose(1, 2)

    def _by_head(self, projection: nn.Linear) -> Tensor:
        """Return the weights of `projection`, (head, channel of the head, 256)."""
        return _tensor(projection.weight.view(_HEADS, self.inside, FEATURE_CHANNELS))

    def _scaled(self, x: Tensor) -> Tensor:
        return _tensor(x * self.inside**-0.5)

    def _out(self, mixed: Tensor) -> Tensor:
        """Return (box, token, 256) from (box, head, token, channel of the head)."""
        return _tensor(self.out_proj(mixed.transpose(1, 2).reshape(-1, _TOKENS, _HEADS * self.inside)))


class Mlp(nn.Module):
    """The two layers after the attention of the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.lin1 = nn.Linear(FEATURE_CHANNELS, _WIDE)
        self.lin2 = nn.Linear(_WIDE, FEATURE_CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        return _tensor(self.lin2(functional.relu(self.lin1(x))))


class TwoWayBlock(nn.Module):
    """Tokens look at each other and at the image, then the image looks at the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = Attention(FEATURE_CHANNELS)
        self.norm1 = nn.LayerNorm(FEATURE_CHANNELS)
        self.cross_attn_token_to_image = Attention(_NARROW)
        self.norm2 = nn.LayerNorm(FEATURE_CHANNELS)
        self.mlp = Mlp()
        self.norm3 = nn.LayerNorm(FEATURE_CHANNELS)
        self.norm4 = nn.LayerNorm(FEATURE_CHANNELS)
        self.cross_attn_image_to_token = Attention(_NARROW)

    def after(self, tokens: Tensor, seen: Tensor, marks: Tensor, image: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return tokens and image once the tokens have `seen` the image, (its features, the same with places)."""
        plain, placed = image
        tokens = self.norm2(tokens + seen)
        tokens = self.norm3(tokens + self.mlp(tokens))
        told = self.cross_attn_image_to_token.of_tokens(placed, tokens + marks, tokens)
        return tokens, self.norm4(plain + told)


class TwoWayTransformer(nn.Module):
    """Two blocks, and a last look of the tokens at the image."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock() for _ in range(_DEPTH))
        self.final_attn_token_to_image = Attention(_NARROW)
        self.norm_final_attn = nn.LayerNorm(FEATURE_CHANNELS)

    def forward(self, marks: Tensor, plane: PlaneFeatures, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return (box, token, 256) tokens and (box, place, 256) image; `marks` are the tokens as they come."""
        first, second = (cast("TwoWayBlock", layer) for layer in self.layers)
        tokens = first.norm1(first.self_attn.among(marks, marks))  # replaced, not added to, and without places
        seen = first.cross_attn_token_to_image.of_projected(tokens + marks, plane.key, plane.value)
        tokens, image = first.after(tokens, seen, marks, (plane.image, plane.image + places))
        placed = image + places
        tokens = second.norm1(tokens + second.self_attn.among(tokens + marks, tokens))
        seen = second.cross_attn_token_to_image.of_image(tokens + marks, placed, image)
        tokens, image = second.after(tokens, seen, marks, (image, placed))
        seen = self.final_attn_token_to_image.of_image(tokens + marks, image + places, image)
        return self.norm_final_attn(tokens + seen), image


class Mlp3(nn.Module):
    """Three layers from a token to what it says."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        widths = (FEATURE_CHANNELS, FEATURE_CHANNELS, FEATURE_CHANNELS, outputs)
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Return (box, outputs) from (box, 256)."""
        first, second, last = self.layers
        return _tensor(last(functional.relu(second(functional.relu(first(x))))))


class MaskDecoder(nn.Module):
    """Turn the features of a plane and the tokens of boxes into logits and qualities."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer()
        self.iou_token = nn.Embedding(1, FEATURE_CHANNELS)
        self.mask_tokens = nn.Embedding(_MASKS, FEATURE_CHANNELS)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(FEATURE_CHANNELS, _MIDDLE, 2, 2),
            LayerNorm2d(_MIDDLE),
            nn.GELU(),
            nn.ConvTranspose2d(_MIDDLE, _FINE, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(Mlp3(_FINE) for _ in range(_MASKS))
        self.iou_prediction_head = Mlp3(_MASKS)

    def prepare(self, image: Tensor, places: Tensor) -> PlaneFeatures:
        """Return what the boxes on a plane share, from `image`, (plane, place, 256)."""
        first = cast("TwoWayBlock", self.transformer.layers[0])
        return PlaneFeatures(image, *first.cross_attn_token_to_image.project(image + places, image))

    def forward(self, plane: PlaneFeatures, boxes: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return (box, 256, 256) logits and (box,) qualities for `boxes`, (box, corner, 256), on one plane."""
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        marks = torch.cat([own.expand(boxes.shape[0], -1, -1), boxes], dim=1)
        tokens, image = self.transformer(marks, plane, places)
        weights = self.output_hypernetworks_mlps[0](tokens[:, 1])
        return self._logits(image, weights), self.iou_prediction_head(tokens[:, 0])[:, 0]

    def _logits(self, image: Tensor, weights: Tensor) -> Tensor:
        """Return the image doubled twice and weighed, (box, 256, 256); `weights` is (box, 32)."""
        first, norm, _, second, _ = self.output_upscaling
        x = _doubled(image.reshape(-1, FEATURE_CHANNELS), cast("nn.ConvTranspose2d", first))
        normal = cast("LayerNorm2d", norm)
        x = functional.layer_norm(x, normal.weight.shape, normal.weight, normal.bias, normal.epsilon)
        x = _doubled(functional.gelu(x), cast("nn.ConvTranspose2d", second))
        x = functional.gelu(x).view(-1, _PLACES * _DOUBLING**2, _FINE) @ weights.unsqueeze(2)
        x = x.view(-1, FEATURE_SIDE, FEATURE_SIDE, 2, 2, 2, 2)  # row, column, then rows and columns of each doubling
        return x.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, MASK_SIDE, MASK_SIDE)


def _doubled(x: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """Return what `layer` makes of each of `x`, (place, channel): four places of each, (4 x place, channel)."""
    inputs, outputs = layer.in_channels, layer.out_channels
    weights = layer.weight.permute(2, 3, 1, 0).reshape(_DOUBLING * outputs, inputs)
    bias = cast("Tensor", layer.bias).repeat(_DOUBLING)
    return functional.linear(x, weights, bias).view(-1, outputs)


def _tensor(x: Tensor) -> Tensor:
    """Say what a module returned: torch types the call of a module as anything."""
    return x
