"""Float network to float network, before any integer: folding, equalization, absorption, clustering."""
