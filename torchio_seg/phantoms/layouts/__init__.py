"""Made-up patients laid out on disk as data sets are: one writer a layout."""
