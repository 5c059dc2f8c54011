"""The networks in torch, written from their published descriptions; needed to train and to make the graphs."""
