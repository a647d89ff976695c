"""Makes the oracles importable: the contract is that every operator has one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))
