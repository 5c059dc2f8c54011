"""Train the built-in model and fine-tune others; needs the extra `[torch]`, but for the scenes."""
