"""The model without space, and its linearisation with it: ODE, spectra, dispersion, continuation."""
