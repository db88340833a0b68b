"""Cases on the model's grid, kept on disk as memory-mapped arrays: made once, read patch by patch."""
