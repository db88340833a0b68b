"""One file a network: build(in_channels, out_channels, patch_size, ...) -> a module that returns logits."""
