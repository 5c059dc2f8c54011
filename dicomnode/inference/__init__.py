"""Models: the protocol they share, one module an engine, and the segmenter that drives them."""
