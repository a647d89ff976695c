"""What is left on disk: results, dumps, analysis, report."""
