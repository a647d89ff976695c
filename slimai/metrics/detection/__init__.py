"""Detection metrics: decoding of heads, suppression, mapping to the picture, average precision."""
