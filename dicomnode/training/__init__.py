"""Train `box-unet` from drawn scenes and fine-tune MedSAM-Lite; it needs torch, the extra `[torch]`."""
