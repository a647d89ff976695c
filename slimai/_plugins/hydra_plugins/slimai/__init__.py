"""slimai's own Hydra plug-ins; the folder is put on the path by `slimai.config.hydra_setup`, for slimai alone."""
