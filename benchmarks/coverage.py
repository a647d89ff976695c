"""The command of network_coverage.py."""

import sys

if __name__ != "__main__":  # scripts in this folder come first on the path: numba asks for the package of this name
    raise ImportError("benchmarks/coverage.py is a command, not the package coverage")

from network_coverage import main

sys.exit(main(sys.argv[1:]))
