"""From a trained network and a volume to probabilities and a label map on the volume's own grid."""
