"""Weight rounding that keeps a layer's output: moments of its inputs, the integer least-squares problem, acceptance."""
