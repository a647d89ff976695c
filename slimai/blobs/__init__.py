"""Text tensor dumps and output-control files, byte-exact."""
