"""Train and fine-tune networks, from drawn scenes or a site's own truth: it needs torch, and no node imports it."""
