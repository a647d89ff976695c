"""Float TFLite networks as ONNX models: one rule an operator, pictures from [N, H, W, C] to [N, C, H, W]."""
