"""From what a data set is, and what may be used, to how a network is trained on it."""
