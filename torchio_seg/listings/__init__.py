"""What the layouts share: reading lists of cases, keeping paths within their folder, pairing images with labels."""
