"""Train and fine-tune networks, from drawn scenes or from a site's own truth; it needs torch, and no node imports it."""
