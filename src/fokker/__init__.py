"""One energy-based diffusion model of a molecule: equilibrium samples and dynamics that agree."""

__version__ = "0.1.0"
