"""The search for a model's ONNX form: what it needs before it starts, and what becomes of it."""
