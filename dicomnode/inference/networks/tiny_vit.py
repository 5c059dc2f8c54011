"""TinyViT, the image encoder of LiteMedSAM.

After Wu and others, "TinyViT: Fast Pretraining Distillation for Small Vision Transformers" (ECCV 2022), in the variant
of bowang-lab/MedSAM, branch LiteMedSAM (Apache-2.0): 256 x 256 pixels, a stem of 1 x 1 convolutions that keeps the
size, and no classification head. Module names are those of the published checkpoint.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE, FEATURE_SIDE, FEATURE_CHANNELS = 256, 64, 256
_CHANNELS = (64, 128, 160, 320)
_DEPTHS = (2, 2, 6, 2)
_HEAD_WIDTH = 32
_WINDOWS = (7, 14, 7)  # of the stages with attention, in tokens a side
_SIDES = (256, 128, 64, 64)  # of the stages
_EXPANSION = 4


class ConvNorm(nn.Sequential):
    """A convolution without bias, and batch normalisation; the runtimes fold the second into the first."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(OrderedDict(c=convolution, bn=nn.BatchNorm2d(outputs)))


class LayerNorm2d(nn.Module):
    """Normalise over the channels of each pixel: (batch, channel, row, column) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epsilon = 1e-6

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with mean 0 and variance 1 over its channels, scaled and shifted."""
        normal = functional.layer_norm(_channels_last(x), self.weight.shape, self.weight, self.bias, self.epsilon)
        return _channels_first(normal)


class PatchEmbed(nn.Module):
    """The stem: (batch, 3, 256, 256) to (batch, 64, 256, 256)."""

    def __init__(self) -> None:
        super().__init__()
        self.seq = nn.Sequential(ConvNorm(3, 32), nn.GELU(), ConvNorm(32, _CHANNELS[0]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the first features of the pixels."""
        return _tensor(self.seq(x))


class MBConv(nn.Module):
    """An inverted bottleneck with a residual, on (batch, channel, row, column)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = _EXPANSION * channels
        self.conv1 = ConvNorm(channels, wide)
        self.conv2 = ConvNorm(wide, wide, 3, groups=wide)
        self.conv3 = ConvNorm(wide, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        y = functional.gelu(self.conv1(x))
        y = functional.gelu(self.conv2(y))
        return functional.gelu(x + self.conv3(y))


class PatchMerging(nn.Module):
    """Go on with more channels, on half the side except before the last stage: (batch, channel, row, column)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if outputs == _CHANNELS[-1] else 2
        self.conv1 = ConvNorm(inputs, outputs)
        self.conv2 = ConvNorm(outputs, outputs, 3, stride=stride, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features that the next stage begins with."""
        y = functional.gelu(self.conv1(x))
        y = functional.gelu(self.conv2(y))
        return _tensor(self.conv3(y))


class Attention(nn.Module):
    """Attention among the tokens of a window, with a learnt bias for each distance: (token, channel)."""

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.heads = channels // _HEAD_WIDTH
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.window = window
        self.attention_biases = nn.Parameter(torch.zeros(self.heads, window * window))

    def forward(self, x: Tensor) -> Tensor:
        """Return what each token learns from the others."""
        query, key, value = self._projected(self.norm(x))
        bias = self.attention_biases[:, self._distances()]  # gathered here, so that a graph keeps the published tensor
        weights = (query * _HEAD_WIDTH**-0.5) @ key.transpose(-2, -1) + bias
        mixed = (weights.softmax(dim=-1) @ value).transpose(1, 2)
        return _tensor(self.proj(mixed.reshape(-1, self.heads * _HEAD_WIDTH)))

    def _projected(self, x: Tensor) -> list[Tensor]:
        """Return query, key and value, (window, head, token, 32): the published layout has these head by head."""
        weights = self.qkv.weight.view(self.heads, 3, _HEAD_WIDTH, -1).unbind(1)
        biases = self.qkv.bias.view(self.heads, 3, _HEAD_WIDTH).unbind(1)
        found = (functional.linear(x, *map(_rows, part)) for part in zip(weights, biases, strict=True))
        return [one.view(-1, self.window**2, self.heads, _HEAD_WIDTH).transpose(1, 2) for one in found]

    def _distances(self) -> Tensor:
        """Return (token, token) int32: which bias holds between two tokens, by how far they lie apart."""
        places = torch.arange(self.window, dtype=torch.int32, device=self.attention_biases.device)
        apart = (places[:, None] - places).abs()
        return (apart[:, None, :, None] * self.window + apart[None, :, None, :]).flatten(2).flatten(0, 1)


class Mlp(nn.Module):
    """The two layers after the attention: (token, channel)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, _EXPANSION * channels)
        self.fc2 = nn.Linear(_EXPANSION * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        return _tensor(self.fc2(functional.gelu(self.fc1(self.norm(x)))))


class Block(nn.Module):
    """Attention in windows, a convolution that replaces its input, and two layers: (token, channel)."""

    def __init__(self, channels: int, window: int, side: int) -> None:
        super().__init__()
        self.channels, self.window, self.side = channels, window, side
        self.attn = Attention(channels, window)
        self.mlp = Mlp(channels)
        self.local_conv = ConvNorm(channels, channels, 3, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        x = x + self._attend(x)
        x = _tokens(self.local_conv(_image(x, self.side, self.channels)))
        return x + _tensor(self.mlp(x))

    def _attend(self, x: Tensor) -> Tensor:
        """Attend within windows; the zeros that fill the last ones take part, as they did in training."""
        missing, channels = -self.side % self.window, self.channels
        side = self.side + missing
        count = side // self.window
        x = functional.pad(x.view(-1, self.side, self.side, channels), (0, 0, 0, missing, 0, missing))
        # the rows of a window lie apart in the image by a row of it; a row of a window is one piece in both
        rows = x.reshape(-1, self.window, count, self.window * channels).transpose(1, 2)
        attended = self.attn(rows.reshape(-1, channels))
        x = attended.view(-1, count, self.window, self.window * channels).transpose(1, 2)
        x = x.reshape(-1, side, side, channels)[:, : self.side, : self.side]
        return x.reshape(-1, channels)


class ConvStage(nn.Module):
    """The first stage: convolutions alone."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(MBConv(_CHANNELS[0]) for _ in range(_DEPTHS[0])))
        self.downsample = PatchMerging(_CHANNELS[0], _CHANNELS[1])

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channel, row, column) from the same, of half the side."""
        return _tensor(self.downsample(self.blocks(x)))


class AttentionStage(nn.Module):
    """One of the later stages, `number` 1 to 3: blocks with attention, and a merging but after the last."""

    def __init__(self, number: int) -> None:
        super().__init__()
        channels, side, window = _CHANNELS[number], _SIDES[number], _WINDOWS[number - 1]
        self.channels, self.side = channels, side
        self.blocks = nn.Sequential(*(Block(channels, window, side) for _ in range(_DEPTHS[number])))
        last = number == len(_CHANNELS) - 1
        self.downsample = nn.Identity() if last else PatchMerging(channels, _CHANNELS[number + 1])

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channel, row, column) from the same."""
        return _tensor(self.downsample(_image(self.blocks(_tokens(x)), self.side, self.channels)))


class TinyViT(nn.Module):
    """The image encoder: (batch, 3, 256, 256) float in 0..1 to (batch, 256, 64, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed()
        self.layers = nn.Sequential(ConvStage(), *(AttentionStage(number) for number in range(1, len(_CHANNELS))))
        self.neck = nn.Sequential(
            nn.Conv2d(_CHANNELS[-1], FEATURE_CHANNELS, 1, bias=False),
            LayerNorm2d(FEATURE_CHANNELS),
            nn.Conv2d(FEATURE_CHANNELS, FEATURE_CHANNELS, 3, padding=1, bias=False),
            LayerNorm2d(FEATURE_CHANNELS),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedding of each image."""
        return _tensor(self.neck(self.layers(self.patch_embed(x))))


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _channels_first(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def _tokens(x: Tensor) -> Tensor:
    """Return (batch, channel, row, column) as (token, channel), the tokens of all images row by row."""
    return _channels_last(x).flatten(0, 2)


def _image(x: Tensor, side: int, channels: int) -> Tensor:
    """Return (token, channel) as (batch, channel, row, column)."""
    return _channels_first(x.view(-1, side, side, channels))


def _rows(x: Tensor) -> Tensor:
    """Return (head, row, ...) as (head x row, ...)."""
    return x.flatten(0, 1)


def _tensor(x: Tensor) -> Tensor:
    """Say what a module returned: torch types the call of a module as anything."""
    return x
