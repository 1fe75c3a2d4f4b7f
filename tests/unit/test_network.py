"""Torchvision networks for C channels and K classes; weights that cannot run code."""

import pytest
import torch
from torch import nn

from nucprof.errors import ModelError
from nucprof.learn.cnn.network import architecture_for, build_network, check_network, head_of


def test_auto_depends_on_the_device():
    assert architecture_for("auto", "cpu") == "resnet18"
    assert architecture_for("auto", "cuda:1") == "resnet50"
    assert architecture_for("resnet34", "cuda") == "resnet34"


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "efficientnet_b0", "densenet121"]
)
def test_networks_take_c_channels_and_give_k_logits(name):
    if name == "squeezenet1_1":  # no linear head to take the place of
        with pytest.raises(ModelError, match="no layer to adapt"):
            build_network(name, 5, 3)
        return
    network = build_network(name, 5, 3)
    check_network(network, 5, 3, 64, name)
    assert head_of(network).out_features == 3
    with torch.no_grad():
        out = network(torch.randn(2, 5, 64, 64))
    # logits: no softmax, which would sum to 1
    assert not torch.allclose(out.sum(1), torch.ones(2))


def test_unknown_names_are_answered_with_near_ones():
    with pytest.raises(ModelError, match=r"'resnet19'.*resnet1"):
        build_network("resnet19", 3, 2)


def test_networks_that_do_not_take_the_size_or_have_two_outputs_are_refused():
    with pytest.raises(ModelError, match="image_size"):
        check_network(build_network("vit_b_32", 2, 2), 2, 2, 64, "vit_b_32")

    class Two(nn.Module):
        def forward(self, crops):
            return crops, crops

    with pytest.raises(ModelError, match="no plain classifier"):
        check_network(Two(), 2, 2, 64, "two")


def test_imagenet_weights_are_averaged_over_the_colours(tmp_path):
    plain = build_network("resnet18", 3, 1000)
    torch.save(plain.state_dict(), tmp_path / "resnet18.pth")
    wide = build_network("resnet18", 4, 2, pretrained=tmp_path / "resnet18.pth")
    mean = plain.conv1.weight.mean(dim=1)
    for channel in range(4):
        torch.testing.assert_close(wide.conv1.weight[:, channel], mean * 3 / 4)
    torch.testing.assert_close(wide.layer3[0].conv1.weight, plain.layer3[0].conv1.weight)
    assert wide.fc.out_features == 2
    # a grey image gives the first layer's output of the same size as a colour image of three equals
    grey = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            wide.conv1(grey.repeat(1, 4, 1, 1)), plain.conv1(grey.repeat(1, 3, 1, 1)),
            atol=1e-5, rtol=1e-4,
        )  # fmt: skip


class Evil:
    def __reduce__(self):
        return (print, ("code has run",))


def test_pretrained_files_cannot_run_code(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    torch.save({"conv1.weight": Evil()}, path)
    with pytest.raises(
        ModelError, match=r"evil\.pth does not hold weights of \w+: it is no file of weights only"
    ):
        build_network("resnet18", 3, 2, pretrained=path)
    assert "code has run" not in capsys.readouterr().out
    with pytest.raises(ModelError, match="no file"):
        build_network("resnet18", 3, 2, pretrained=tmp_path / "none.pth")
