"""TFLite networks: the file as values, its operators in canonical form, its stored parameters."""
