r"""What weighted samples with common ancestors are worth.

Samples that descend from one ancestor are not independent, so all that is counted is counted an
ancestor: with W_a the share of the weight that its descendants have,

    effective = 1 / sum_a W_a^2,
    mean = sum_i w_i f_i,     error^2 = sum_a (sum_(i of a) w_i (f_i - mean))^2

Where all descend from themselves these are Kish's effective number and the usual error of a
weighted mean. Sources: Kish, Survey Sampling (1965); the errors of sequential Monte Carlo by
ancestors are those of Chan and Lai (Ann. Stat. 41, 2877, 2013) and Lee and Whiteley
(Biometrika 105, 609, 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Ancestry:
    """Weighted samples and where they come from.

    Attributes
    ----------
    weight
        Of each sample; they sum to 1.
    ancestor
        Number of each sample's ancestor, from 0.
    log_scale
        Logarithm of the mean of the weights before they were scaled.
    drawn
        How many ancestors there were, those without descendants too.
    """

    weight: Float[np.ndarray, " samples"]
    ancestor: Int[np.ndarray, " samples"]
    log_scale: float
    drawn: int

    @staticmethod
    def of(
        log_weight: Float[np.ndarray, " samples"], ancestor: Int[np.ndarray, " samples"]
    ) -> Ancestry:
        """Samples by the logarithms of their weights, minus infinity for those that failed."""
        most = np.max(log_weight)
        if not np.isfinite(most):
            raise ValueError("no sample has a weight that is finite and not zero")
        weight = np.exp(log_weight - most)
        log_scale = float(most + np.log(np.mean(weight)))
        _, ancestor = np.unique(ancestor, return_inverse=True)
        return Ancestry(weight / weight.sum(), ancestor, log_scale, len(weight))

    @property
    def by_ancestor(self) -> Float[np.ndarray, " ancestors"]:
        """Share of the weight of the descendants of each."""
        return np.bincount(self.ancestor, self.weight)

    @property
    def distinct(self) -> int:
        """Ancestors whose descendants have any weight."""
        return int(np.count_nonzero(self.by_ancestor))

    @property
    def effective(self) -> float:
        """Independent samples that these are worth."""
        return float(1.0 / np.sum(self.by_ancestor**2))

    @property
    def effective_share(self) -> float:
        """`(sum w)^2 / sum w^2` over their number, as if no two had a common ancestor."""
        return float(1.0 / (np.sum(self.weight**2) * len(self.weight)))

    def log_mean_weight(self) -> tuple[float, float]:
        """Logarithm of the mean weight, with its error."""
        return self.log_scale, float(np.sqrt(max(1.0 / self.effective - 1.0 / self.drawn, 0.0)))

    def mean(self, values: Float[np.ndarray, " samples"]) -> tuple[float, float]:
        """Weighted mean, with its error; values of samples without weight are left out."""
        used = self.weight > 0.0
        weight, values = self.weight[used], np.asarray(values, float)[used]
        mean = float(weight @ values)
        parts = np.bincount(self.ancestor[used], weight * (values - mean))
        return mean, float(np.sqrt(np.sum(parts**2)))
