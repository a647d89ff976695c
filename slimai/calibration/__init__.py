"""Statistics of activations and the limits derived from them."""
