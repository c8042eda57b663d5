"""What a run says of its model: how to build it, or of one built by hand, what it is."""

from __future__ import annotations

import hashlib
import warnings
from typing import Any

import torch
from torch import nn

from relmp.models.factory import GIVEN, MODELS, ModelConfig
from relmp.rounds import Round


def require_model(model: object) -> None:
    """Raise ``ValueError`` unless this is a module with parameters."""
    if not isinstance(model, nn.Module):
        shown = repr(model) if isinstance(model, str) else f"a {type(model).__name__}"
        raise ValueError(
            f"A model is trained, but {shown} was given; make one by relmp.create_model or "
            f"relmp.match_flops."
        )
    if next(model.parameters(), None) is None:
        raise ValueError(f"{type(model).__name__} has no parameters, so there is nothing to train.")


def model_config(model: nn.Module) -> ModelConfig:
    """The configuration of a model made by :func:`create_model`; of another model, what it is.

    From the latter the model cannot be built again, which a warning says.
    """
    config = described(model)
    if not config.is_given:
        return config
    warnings.warn(
        f"This {type(model).__name__} was built by hand, so the run's folder keeps its weights "
        f"alone: build it again to load them (relmp.load_run(folder, model=...)), or write it as a "
        f"class or function for relmp.create_model.",
        stacklevel=5,
    )
    return config


def described(model: nn.Module) -> ModelConfig:
    """:func:`model_config`, without the warning."""
    config = getattr(model, "config", None)
    if isinstance(config, ModelConfig):
        return config
    graphs = {layer.graph for layer in model.modules() if isinstance(layer, Round)}
    graph = graphs.pop() if len(graphs) == 1 else None
    return ModelConfig(
        f"{GIVEN}:{type(model).__name__}", graph, options={"structure": structure(model)}
    )


def structure(model: nn.Module) -> str:
    """A hash of the layers of a model, their shapes and their graphs; not of weights."""
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        digest.update(f"{name} {type(module).__qualname__}\n".encode())
        if isinstance(module, Round):
            digest.update(f"{module.graph.key} {module.aggr}\n".encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {list(tensor.shape)}\n".encode())
    return digest.hexdigest()[:16]


def check_fresh(model: nn.Module, config: ModelConfig) -> None:
    """Raise ``ValueError`` unless the weights are those that the configuration draws."""
    if config.is_given:
        return
    drawn, found = config.create().state_dict(), model.state_dict()
    if drawn.keys() != found.keys() or not all(
        torch.equal(found[name].cpu(), value) for name, value in drawn.items()
    ):
        raise ValueError(
            f"The weights of this {type(model).__name__} are not those that its configuration "
            f"draws (it was trained, or changed), so out= would record a run that cannot be made "
            f"again; make the model anew, or train without out=."
        )


def rebuilt(config: ModelConfig, model: Any = None) -> nn.Module:
    """The model that a configuration describes.

    Args:
        config: The configuration.
        model: What builds it where that is not to be imported; or the model itself.

    Raises:
        ValueError: If it cannot be built, or the model given is another one.
    """
    if not isinstance(model, nn.Module):
        return config.create(model)
    if config.is_given and structure(model) != config.options.get("structure"):
        raise ValueError(
            f"The model given has other layers, shapes or graphs than the "
            f"{config.name.partition(':')[2]} whose weights the run holds; build it as it was."
        )
    return model


def _refuse(name: str) -> Any:
    raise ValueError(
        f"This {name} was built by hand, so its run holds weights alone; build it again and give "
        f"it (relmp.load_run(folder, model=...))."
    )


MODELS.catalogue(GIVEN, _refuse)
