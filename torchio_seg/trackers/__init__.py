"""One file a tracker: build(run, ...) -> what `tracking.interface.Tracker` describes."""
