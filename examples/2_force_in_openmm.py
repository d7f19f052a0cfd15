"""Run the learned force in OpenMM, together with a force of your own.

    python examples/1_train_in_python.py     # makes the run
    python examples/2_force_in_openmm.py [--quick]

Needs `pip install 'fokker[openmm]'`. Integrators, reporters, restraints and biases are those of
OpenMM.
"""

import sys
from pathlib import Path

import mdtraj
import numpy as np
import openmm
from openmm import app, unit

from fokker.adapters.openmm import system, topology

QUICK = "--quick" in sys.argv
RUN = Path("runs/example-alanine")
if not RUN.exists():
    sys.exit(f"{RUN} is missing: run examples/1_train_in_python.py first.")

# 1. A System of the beads with the learned force in it. The topology has names and bonds.
beads = system(RUN)
print([force.getName() for force in beads.getForces()])

# 2. A force of your own beside it: a spring that holds the ends of the molecule apart.
spring = openmm.CustomBondForce("0.5 * k * (r - r0)^2")
spring.addGlobalParameter("k", 2000.0)  # kJ/mol/nm^2
spring.addGlobalParameter("r0", 0.50)  # nm
spring.addBond(0, beads.getNumParticles() - 1)
beads.addForce(spring)

# 3. Simulate as any other System: Langevin dynamics at the temperature of the training data.
integrator = openmm.LangevinMiddleIntegrator(
    300 * unit.kelvin, 1 / unit.picosecond, 2 * unit.femtoseconds
)
platform = openmm.Platform.getPlatformByName("Reference")
simulation = app.Simulation(topology(RUN), beads, integrator, platform)
start = mdtraj.load(str(RUN / "topology.pdb"))
simulation.context.setPositions(start.xyz[0])
simulation.context.setVelocitiesToTemperature(300 * unit.kelvin)

# 4. Measure what the spring does: the distance of the ends, in nm.
lengths = []
for _ in range(20 if QUICK else 500):
    simulation.step(10 if QUICK else 50)
    x = simulation.context.getState(positions=True).getPositions(asNumpy=True)
    lengths.append(float(np.linalg.norm(x[0]._value - x[-1]._value)))
print(f"distance of the ends: {np.mean(lengths):.3f} nm, the spring is at rest at 0.500 nm")
