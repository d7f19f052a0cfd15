"""Raw networks: they see positions, a noise level and bead features, never the schedule."""

from typing import Annotated

from pydantic import Field

from .base import AbstractNetwork, Head, MoleculeInputs, NetworkInputs, noise_embedding
from .dense import Dense, DenseOptions
from .graph import Graph, GraphOptions
from .graph_transformer import GraphTransformer, GraphTransformerOptions
from .invariant import Invariant, InvariantOptions
from .mlp import MLP, MLPOptions
from .neighbourhoods import PerPlace

NetworkOptions = Annotated[
    MLPOptions | InvariantOptions | GraphOptions | GraphTransformerOptions | DenseOptions,
    Field(discriminator="name"),
]

__all__ = [
    "MLP",
    "AbstractNetwork",
    "Dense",
    "DenseOptions",
    "Graph",
    "GraphOptions",
    "GraphTransformer",
    "GraphTransformerOptions",
    "Head",
    "Invariant",
    "InvariantOptions",
    "MLPOptions",
    "MoleculeInputs",
    "NetworkInputs",
    "NetworkOptions",
    "PerPlace",
    "noise_embedding",
]
