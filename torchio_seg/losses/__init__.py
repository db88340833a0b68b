"""One file a loss: build(exclusive, ...) -> callable(logits, masks) -> scalar."""
