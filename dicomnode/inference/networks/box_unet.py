"""The network `box-unet`: a residual U-Net on the crop about one box, with the context of the whole crop at each level.

After Ronneberger and others, "U-Net" (MICCAI 2015), He and others, "Deep residual learning" (CVPR 2016), and Hu and
others, "Squeeze-and-excitation networks" (CVPR 2018), made small.
"""

from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dicomnode.inference.crops import CHANNELS

WIDTHS, DEPTHS = (16, 32, 64, 96), (0, 1, 1, 2)  # channels and residual blocks by level, from the finest
_QUALITY_WIDTH = 32


class BoxUnet(nn.Module):
    """Crops about boxes to masks and their qualities.

    Takes (box, CHANNELS, 64, 64) float32; answers logits, (box, 64, 64), inside where > 0, and the overlap with the
    truth that it predicts (IoU), (box,) in 0..1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(CHANNELS, WIDTHS[0])
        self.down = nn.ModuleList(_Convolution(fine, coarse, stride=2) for fine, coarse in pairwise(WIDTHS))
        self.encoder = nn.ModuleList(_blocks(width, depth) for width, depth in zip(WIDTHS, DEPTHS, strict=True))
        self.merge = nn.ModuleList(_Merge(fine, coarse) for fine, coarse in pairwise(WIDTHS))
        self.decoder = nn.ModuleList(
            _blocks(width, 1) if level else _Convolution(width, width) for level, width in enumerate(WIDTHS[:-1])
        )
        self.mask = nn.Conv2d(WIDTHS[0], 1, 1)
        self.quality = nn.Sequential(
            nn.Linear(WIDTHS[-1] + WIDTHS[0], _QUALITY_WIDTH), nn.ReLU(), nn.Linear(_QUALITY_WIDTH, 1)
        )

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits and the qualities of `crops`."""
        x = self.encoder[0](self.stem(crops))
        levels = [x]
        for down, blocks in zip(self.down, self.encoder[1:], strict=True):
            x = blocks(down(x))
            levels.append(x)
        coarsest = x.mean((2, 3))
        for level in reversed(range(len(levels) - 1)):
            x = self.decoder[level](self.merge[level](levels[level], x))
        logits = self.mask(x)
        seen = torch.cat([coarsest, (x * logits.sigmoid()).mean((2, 3))], 1)
        return logits[:, 0], self.quality(seen)[:, 0].sigmoid()


def folded(network: BoxUnet) -> BoxUnet:
    """Return a copy of `network` as it is in evaluation, with its batch norms folded into its convolutions."""
    copy = deepcopy(network).eval()
    for module in copy.modules():
        if isinstance(module, _Convolution) and isinstance(module.norm, nn.BatchNorm2d):
            module.convolution = fuse_conv_bn_eval(module.convolution, module.norm)
            module.norm = nn.Identity()
    return copy


class _Convolution(nn.Module):
    """A convolution with batch norm, and a ReLU unless it is the last of a block."""

    def __init__(self, before: int, after: int, *, size: int = 3, stride: int = 1, active: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(after)
        self._active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.convolution(x))
        return functional.relu(x) if self._active else x


class _Merge(nn.Module):
    """The sum of a level and the coarser one below it, each through a convolution of single pixels."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.fine = _Convolution(fine, fine, size=1, active=False)
        self.coarse = _Convolution(coarse, fine, size=1, active=False)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        below = functional.interpolate(self.coarse(coarse), scale_factor=2.0, mode="nearest")
        return functional.relu(self.fine(fine) + below)


class _Block(nn.Module):
    """Two convolutions beside a way past them, weighed by channel from what all of the crop holds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _Convolution(width, width), _Convolution(width, width, active=False)
        self.context = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        found = self.second(self.first(x))
        scale, shift = self.context(found.mean((2, 3)))[:, :, None, None].chunk(2, 1)
        return functional.relu(x + found * (2 * scale.sigmoid()) + shift)


def _blocks(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(width) for _ in range(depth)))
