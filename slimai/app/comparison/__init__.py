"""What two results differ in: runs, quantized models, and the tensors of a device."""
