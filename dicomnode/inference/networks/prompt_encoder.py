"""The prompt encoder of LiteMedSAM, that of Segment Anything (Kirillov and others, ICCV 2023; Apache-2.0)."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from dicomnode.inference.networks.tiny_vit import FEATURE_CHANNELS, FEATURE_SIDE, SIDE, LayerNorm2d

_TOP_LEFT, _BOTTOM_RIGHT = 2, 3  # of the point embeddings
_POINT_KINDS = 4
_MASK_CHANNELS = (4, 16)


class RandomPositions(nn.Module):
    """Encode places by sines and cosines of random frequencies, which the checkpoint carries."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, FEATURE_CHANNELS // 2))
        self.positional_encoding_gaussian_matrix: Tensor

    def forward(self, places: Tensor) -> Tensor:
        """Return (..., 256) for `places`, (..., 2) x, y in 0..1."""
        turns = (2 * places - 1) @ self.positional_encoding_gaussian_matrix * (2 * math.pi)
        return torch.cat([turns.sin(), turns.cos()], dim=-1)


class PromptEncoder(nn.Module):
    """Encode boxes. The layers for points and masks are there because the checkpoint has them."""

    def __init__(self) -> None:
        super().__init__()
        self.pe_layer = RandomPositions()
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, FEATURE_CHANNELS) for _ in range(_POINT_KINDS))
        self.not_a_point_embed = nn.Embedding(1, FEATURE_CHANNELS)
        few, more = _MASK_CHANNELS
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, few, 2, 2),
            LayerNorm2d(few),
            nn.GELU(),
            nn.Conv2d(few, more, 2, 2),
            LayerNorm2d(more),
            nn.GELU(),
            nn.Conv2d(more, FEATURE_CHANNELS, 1),
        )
        self.no_mask_embed = nn.Embedding(1, FEATURE_CHANNELS)

    def forward(self, boxes: Tensor) -> Tensor:
        """Return (box, corner, 256) for `boxes`, (box, 4) x0, y0, x1, y1 in the network's 256 pixels."""
        corners: Tensor = self.pe_layer((boxes + 0.5).view(-1, 2, 2) / SIDE)
        kinds = [cast("nn.Embedding", self.point_embeddings[kind]).weight for kind in (_TOP_LEFT, _BOTTOM_RIGHT)]
        return corners + torch.cat(kinds)

    def grid(self) -> Tensor:
        """Return the encoded places of the features, (feature, 256): row by row."""
        middles = (torch.arange(FEATURE_SIDE, device=self.no_mask_embed.weight.device) + 0.5) / FEATURE_SIDE
        rows, columns = torch.meshgrid(middles, middles, indexing="ij")
        encoded: Tensor = self.pe_layer(torch.stack([columns, rows], dim=-1).flatten(0, 1))
        return encoded
