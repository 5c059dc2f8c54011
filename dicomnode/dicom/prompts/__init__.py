"""Read prompts out of annotations: one module a kind of object, and what all kinds share."""
