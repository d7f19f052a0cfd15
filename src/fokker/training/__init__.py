"""Training: the loop over stages, the stages themselves, what they write down.

schedule -> expert, refinement, reweighting -> block of steps -> held-out loss, log, checkpoint
"""

from .loop import Progress, inference_group, train

__all__ = ["Progress", "inference_group", "train"]
