"""The door to ONNX Runtime."""
