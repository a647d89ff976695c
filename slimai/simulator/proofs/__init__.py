"""What follows from the integers of a network without running it: the reach of sums, where presets differ."""
