"""From 3-D medical scans to a trained segmentation model and predictions in the scan's own space."""
