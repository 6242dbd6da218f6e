"""What belongs to the paper alone: its exhaustive steady states, propositions and statements."""
