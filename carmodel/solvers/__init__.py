"""Solvers for parts of the equations: diffusion, diffusion with taxis, positive reactions, FiPy terms."""
