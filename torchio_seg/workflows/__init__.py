"""The only place that sees a whole experiment: one file a command, and what they share in putting parts together."""
