"""Trained networks in the formats of other programs: one file a format, each with `write`, `read` and `SUFFIX`.

What is exported is the network alone, from normalised patches of one size to logits, for any number of patches at once;
the model card goes with it, which says how patches and label maps are made.
"""
