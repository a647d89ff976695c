"""A preset for a network that slimai has not seen: what its files say, and what is guessed of the rest."""
