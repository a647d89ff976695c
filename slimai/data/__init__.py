"""Image lists, preprocessing, streaming loaders."""
