"""Causal layers: each has `forward` for whole images and `step` for one slice, with the same weights."""
