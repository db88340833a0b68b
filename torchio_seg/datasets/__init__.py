"""Where cases come from: one file a layout, each with build(root, ...) -> Dataset."""
