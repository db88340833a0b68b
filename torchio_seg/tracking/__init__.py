"""What trackers have in common: what they are told, the names they log under, and what keeps them from doing harm."""
