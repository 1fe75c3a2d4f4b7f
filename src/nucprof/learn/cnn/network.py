"""Networks by torchvision's names, widened to the crops' channels."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from nucprof.errors import ModelError


def architecture_for(setting: str, device: str) -> str:
    """`auto` is resnet50 with an accelerator and resnet18 without; anything else is itself."""
    if setting != "auto":
        return setting
    return "resnet18" if device == "cpu" else "resnet50"


def build_network(
    architecture: str, channels: int, classes: int, *, pretrained: Path | None = None
) -> nn.Module:
    """A torchvision classification network for C channels and K classes.

    Its first convolution is widened from three channels to C. With ImageNet weights the new
    channels get the mean of the three colours' weights, scaled by 3 / C, so that the layer's output
    keeps its size.

    Parameters
    ----------
    architecture
        Name as in `torchvision.models.list_models()`.
    channels, classes
        C and K.
    pretrained
        File of ImageNet weights (.pth, as torchvision publishes them); read as weights only.

    Raises
    ------
    ModelError
        If there is no such network, it cannot be adapted, or the weights do not fit it.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, n=3)
        raise ModelError(
            f"train.cnn.architecture: torchvision has no classification network {architecture!r}; "
            f"did you mean {', '.join(near) or 'resnet18'}?"
        )
    network: nn.Module = torchvision.models.get_model(architecture, weights=None)
    if pretrained is not None:
        _load_pretrained(network, pretrained, architecture)
    first = _named(network, lambda module: isinstance(module, nn.Conv2d), architecture)[0]
    last = _named(network, lambda module: isinstance(module, nn.Linear), architecture)[-1]
    _replace(
        network, first, _widened(network.get_submodule(first), channels, pretrained is not None)
    )
    head = network.get_submodule(last)
    assert isinstance(head, nn.Linear)
    _replace(network, last, nn.Linear(head.in_features, classes))
    return network


def check_network(network: nn.Module, channels: int, classes: int, size: int, name: str) -> None:
    """Raise a :class:`ModelError` where the network does not take crops of that size."""
    network.eval()
    try:
        with torch.no_grad():
            out = network(torch.zeros(2, channels, size, size))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ModelError(
            f"train.cnn.architecture {name} does not take crops of {size} px "
            f"(train.cnn.image_size): {error}"
        ) from error
    if not isinstance(out, Tensor) or out.shape != (2, classes):
        raise ModelError(f"train.cnn.architecture {name} is no plain classifier; try resnet18")


def head_of(network: nn.Module) -> nn.Linear:
    """The last linear layer: its input is the embedding, its output the logits."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def _named(network: nn.Module, wanted: Callable[[nn.Module], bool], architecture: str) -> list[str]:
    names = [name for name, module in network.named_modules() if wanted(module)]
    if not names:
        raise ModelError(
            f"train.cnn.architecture {architecture} has no layer to adapt; try resnet18 or resnet50"
        )
    return names


def _widened(layer: nn.Module, channels: int, keep_weights: bool) -> nn.Conv2d:
    assert isinstance(layer, nn.Conv2d)
    if layer.groups != 1:
        raise ModelError("the network's first layer treats each colour by itself; try resnet18")
    wide = nn.Conv2d(
        channels,
        layer.out_channels,
        layer.kernel_size,  # type: ignore[arg-type]
        layer.stride,  # type: ignore[arg-type]
        layer.padding,  # type: ignore[arg-type]
        bias=layer.bias is not None,
    )
    if keep_weights:
        mean = layer.weight.detach().mean(dim=1, keepdim=True)
        wide.weight.data = mean.repeat(1, channels, 1, 1) * (layer.in_channels / channels)
        if layer.bias is not None and wide.bias is not None:
            wide.bias.data = layer.bias.detach().clone()
    return wide


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, layer)


def _load_pretrained(network: nn.Module, path: Path, architecture: str) -> None:
    if not path.is_file():
        raise ModelError(f"train.cnn.pretrained: there is no file {path}")
    wrong = f"train.cnn.pretrained: {path} does not hold weights of {architecture}"
    advice = "Save the state_dict of that torchvision network with torch.save."
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # its words are not shown: they advise to run what the file holds
        raise ModelError(f"{wrong}: it is no file of weights only. {advice}") from error
    try:
        network.load_state_dict(weights)
    except Exception as error:  # torch names every parameter
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{wrong}: {reason} ... {advice}") from error
