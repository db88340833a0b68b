"""What each data set is that an experiment can be trained on: its folder, labels, licence, size, and how to get it."""
