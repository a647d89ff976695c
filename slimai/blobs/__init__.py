"""Text dumps of tensors (`*.blob`), their names, and the list of outputs (`output_control.octrl`)."""
