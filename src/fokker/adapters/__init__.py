"""A trained run in other simulation programs: OpenMM, openmmml, ASE (and i-PI), PyTorch weights.

Each module imports its program when it is imported itself, and nothing here imports any of them.
"""
