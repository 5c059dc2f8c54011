"""A headless DICOM segmentation node: images and annotations in, segmentations out."""

__version__ = "0.1.0"
