"""A run: the state at t = 0, events, the loop over steps, what is written and read."""
