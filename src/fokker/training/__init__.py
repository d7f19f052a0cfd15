"""Training: the loop over stages, the stages themselves, what they write down.

schedule -> expert, refinement, reweighting -> block of steps -> held-out loss, log, checkpoint
"""

from .loop import Files, train
from .saver import inference_group
from .schedule import Devices
from .watch import Progress, Watch

__all__ = ["Devices", "Files", "Progress", "Watch", "inference_group", "train"]
