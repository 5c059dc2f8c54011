"""Read the truth that a network is fine-tuned with: images and who has segmented what on them."""
