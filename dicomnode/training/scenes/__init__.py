"""Draw synthetic images with the truth of one target in each, to train a model that knows no patient.

Scenes follow domain randomisation (Tobin et al. 2017; Billot et al., SynthSeg, 2023): shapes, tissues and
scanners are drawn wider than real ones vary, so that real images look like one more draw.
"""

from dicomnode.training.scenes.drawing import Scene, drawn, drawn_as
from dicomnode.training.scenes.kinds import KINDS

__all__ = ["KINDS", "Scene", "drawn", "drawn_as"]
