"""Units: nm, ps, amu, kJ/mol, K. In these, force = kJ/mol/nm and 1 amu nm^2/ps^2 = 1 kJ/mol."""

BOLTZMANN = 0.00831446261815324
"""Boltzmann (gas) constant in kJ/mol/K (CODATA 2018, exact)."""

ANGSTROM = 0.1
"""One angstrom in nm."""


FARTHEST = 1e3
"""Largest coordinate of a frame that has not failed, in nm or the system's length unit."""


def thermal_energy(temperature: float) -> float:
    """Thermal energy kT in kJ/mol of a temperature in K."""
    return BOLTZMANN * temperature
