"""LiteMedSAM: TinyViT, and the prompt encoder and mask decoder of Segment Anything.

After Ma and others, "Segment anything in medical images" (Nature Communications 15:654, 2024), and the branch
LiteMedSAM of bowang-lab/MedSAM (Apache-2.0). The state dict has exactly the names and shapes of `lite_medsam.pth`.
"""

from torch import Tensor, nn

from dicomnode.inference.networks.mask_decoder import MaskDecoder, PlaneFeatures
from dicomnode.inference.networks.prompt_encoder import PromptEncoder
from dicomnode.inference.networks.tiny_vit import TinyViT


class LiteMedSam(nn.Module):
    """The whole network; `encode` once a plane, `decode` for boxes on it."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = TinyViT()
        self.mask_decoder = MaskDecoder()
        self.prompt_encoder = PromptEncoder()

    def encode(self, images: Tensor) -> PlaneFeatures:
        """Return the features of `images`, (plane, 3, 256, 256) float in 0..1."""
        embedding: Tensor = self.image_encoder(images)
        image = embedding.flatten(2).transpose(1, 2) + self.prompt_encoder.no_mask_embed.weight
        return self.mask_decoder.prepare(image, self.prompt_encoder.grid())

    def decode(self, plane: PlaneFeatures, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return (box, 256, 256) logits and (box,) predicted IoU.

        `plane` has the features of one plane, or of one plane for each box; `boxes` are (box, 4) x0, y0, x1, y1 in the
        network's 256 pixels.
        """
        logits, quality = self.mask_decoder(plane, self.prompt_encoder(boxes), self.prompt_encoder.grid())
        return logits, quality

    def forward(self, images: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and predicted IoU for one box on each image, as in training."""
        return self.decode(self.encode(images), boxes)
