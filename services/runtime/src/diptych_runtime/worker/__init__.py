"""The engine process: decodes images, runs the model, writes replies."""
