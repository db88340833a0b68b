"""Every setting, typed and strict: the sections, the files they come from, and what the user changed."""
