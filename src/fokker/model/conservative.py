"""Conservative model: the score is minus the gradient of an energy."""

from ..network import AbstractNetwork
from ..network.padding import keep
from ..process import AbstractProcess
from ..types import Features, Positions, Scalar, Time
from .base import AbstractEnergy, negative_gradient


class EnergyModel(AbstractEnergy):
    """`energy(x, t) = network(x, level(t))`, with an energy head."""

    network: AbstractNetwork
    process: AbstractProcess

    def energy(self, x: Positions, t: Time, features: Features) -> Scalar:
        """See `AbstractEnergy`."""
        return self.network(keep(x, features.present), self.process.level(t), features)

    def energy_and_score(
        self, x: Positions, t: Time, features: Features
    ) -> tuple[Scalar, Positions]:
        """See `AbstractEnergy`."""
        return negative_gradient(lambda y: self.energy(y, t, features), x)

    def score(self, x: Positions, t: Time, features: Features) -> Positions:
        """See `AbstractScore`."""
        return self.energy_and_score(x, t, features)[1]
