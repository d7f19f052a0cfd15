"""Reference frames must be those of the molecule that was trained on."""

import numpy as np
import pytest

from fokker.dataset.source import load_reference, load_trajectory
from fokker.errors import FokkerError
from fokker.workflow.preset import preset

OWN = {
    "trajectory": ["embedded:alanine-dipeptide/train.dcd"],
    "topology": "embedded:alanine-dipeptide/topology.pdb",
    "temperature": 300.0,
    "stride": 100,
}


@pytest.mark.parametrize("mapping", ["residues", "atoms"])
def test_a_reference_has_the_bonds_of_the_training_frames(tmp_path, mapping):
    """Also of beads, whose elements tell no length."""
    config = preset("molecule", changes={"system": {**OWN, "mapping": mapping}})
    trajectory = load_trajectory(config)
    path = tmp_path / "reference.npy"
    np.save(path, trajectory.positions[::2])
    found = load_reference(config, trajectory, [path])
    assert found is not None
    assert len(found) == 250
    for wrong in (np.roll(trajectory.positions, 1, axis=1), 1.15 * trajectory.positions):
        np.save(path, wrong)
        with pytest.raises(FokkerError, match=r"reference.npy: .*order"):
            load_reference(config, trajectory, [path])
