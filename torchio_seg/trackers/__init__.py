"""One file a tracker: build(folder, ...) -> an object with log() and finish()."""
