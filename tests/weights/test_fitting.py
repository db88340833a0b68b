"""Given weights into a network: by name and shape, nothing by order, nothing silently."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from small_networks import build, fit_into, given, logits, patch_of

from torchio_seg import components
from torchio_seg.errors import DataError, UsageError
from torchio_seg.weights.fitting import give

IMAGES = torch.randn(1, 2, 16, 16, 16, generator=torch.Generator().manual_seed(7))


def never() -> torch.nn.Module:
    raise AssertionError("another network was built although everything fits")


@pytest.mark.parametrize("name", components.names("networks"))
def test_the_same_weights_give_the_same_logits(name: str) -> None:
    before, after = build(name), build(name, seed=1)
    images = torch.randn(1, 2, *patch_of(name))
    before(images)  # running statistics move away from their start
    assert not torch.equal(logits(before, images), logits(after, images))
    fitted = fit_into(given(before.state_dict()), after, lambda **_: never())
    give(after, fitted)
    assert torch.equal(logits(before, images), logits(after, images))
    assert (fitted.renewed, fitted.left) == ((), ())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "network.", "model.", "net.", "module._orig_mod.model."])
def test_what_wrappers_put_before_names_is_taken_off(prefix: str) -> None:
    before, after = build("unet"), build("unet", seed=1)  # whose own names begin with model.
    weights = given({prefix + name: tensor for name, tensor in before.state_dict().items()})
    give(after, fit_into(weights, after, partial(build, "unet")))
    assert torch.equal(logits(before, IMAGES), logits(after, IMAGES))


def test_what_lies_outside_of_the_prefix_is_left_and_named() -> None:
    before, after = build("segresnet"), build("segresnet", seed=1)
    tensors = {f"net.{name}": tensor for name, tensor in before.state_dict().items()}
    fitted = fit_into(given({**tensors, "loss.weight": torch.ones(3)}), after, partial(build, "segresnet"))
    assert fitted.left == ("loss.weight",)
    assert len(fitted.taken) == len(tensors)


def test_two_networks_under_two_prefixes_are_not_guessed_between() -> None:
    state = build("segresnet").state_dict()
    both = {f"{prefix}{name}": tensor for prefix in ("net.", "model.") for name, tensor in state.items()}
    with pytest.raises(DataError, match=r"several networks that fit"):
        fit_into(given(both), build("segresnet", seed=1), partial(build, "segresnet"))


@pytest.mark.parametrize("name", components.names("networks"))
def test_for_other_labels_the_last_layer_alone_begins_anew(name: str) -> None:
    before, after = build(name, out_channels=5), build(name, seed=1)
    random = {key: tensor.clone() for key, tensor in after.state_dict().items()}
    fitted = fit_into(given(before.state_dict()), after, partial(build, name))
    give(after, fitted)
    anew = set(random) - set(fitted.taken)
    assert anew
    assert all("the last layer's" in words for words in fitted.renewed)
    assert any("(5 x" in words and "3 x" in words for words in fitted.renewed)
    for key, tensor in after.state_dict().items():
        assert torch.equal(tensor, random[key] if key in anew else before.state_dict()[key]), key


@pytest.mark.parametrize("name", components.names("networks"))
def test_for_other_channels_the_first_layer_alone_begins_anew(name: str) -> None:
    before, after = build(name, in_channels=1), build(name, seed=1)
    fitted = fit_into(given(before.state_dict()), after, partial(build, name))
    anew = [key for key in after.state_dict() if key not in fitted.taken]
    assert anew
    assert all("the first layer's" in words for words in fitted.renewed)
    give(after, fitted)
    other = {key: tensor for key, tensor in before.state_dict().items() if key not in anew}
    assert all(torch.equal(tensor, after.state_dict()[key]) for key, tensor in other.items())


def test_a_layer_begins_anew_as_a_whole() -> None:
    """A bias that belongs to other weights is not kept beside new ones."""
    before, after = build("dynunet", in_channels=1), build("dynunet", seed=1)
    fitted = fit_into(given(before.state_dict()), after, partial(build, "dynunet"))
    assert not {"encoder.stages.0.0.conv.weight", "encoder.stages.0.0.conv.bias"} & set(fitted.taken)


def test_a_wider_network_is_refused_with_the_first_that_do_not_fit() -> None:
    wide = partial(build, "unet", channels=[8, 16])
    assert wide().state_dict().keys() == build("unet").state_dict().keys(), "names alone would have agreed"
    with pytest.raises(UsageError) as raised:
        fit_into(given(build("unet").state_dict()), wide(), wide)
    text = str(raised.value)
    assert "another network" in text
    assert "(4 x 2 x 3 x 3 x 3 there, 8 x 2 x 3 x 3 x 3 here)" in text
    assert text.count("\n  ") == 6, "five, and how many more"
    assert " more" in text


def test_a_deeper_network_is_refused_though_all_of_ours_is_in_it() -> None:
    deeper = build("segresnet", blocks_down=[1, 2]).state_dict()
    assert build("segresnet").state_dict().keys() < deeper.keys()
    with pytest.raises(UsageError, match=r"down_layers\.1\.2.* has no place"):
        fit_into(given(deeper), build("segresnet"), partial(build, "segresnet"))
    rebuild = partial(build, "segresnet", blocks_down=[1, 2])
    with pytest.raises(UsageError, match=r"down_layers\.1\.2.* is not there"):
        fit_into(given(build("segresnet").state_dict()), rebuild(), rebuild)


def test_weights_of_which_no_name_agrees_are_refused() -> None:
    with pytest.raises(UsageError, match="0 tensors fit"):
        fit_into(given({"layer.weight": torch.ones(3)}), build("unet"), partial(build, "unet"))


def test_first_and_last_layers_alone_are_no_pretrained_network() -> None:
    def conv(*, in_channels: int = 2, out_channels: int = 3) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv3d(in_channels, out_channels, 1))

    with pytest.raises(UsageError, match="0 tensors fit"):
        fit_into(given(conv(out_channels=7).state_dict()), conv(), conv)


def test_tensors_that_no_logits_depend_on_may_be_left() -> None:
    before, after = build("unetr"), build("unetr", seed=1)
    tensors = {**before.state_dict(), "vit.blocks.0.norm_cross_attn.weight": torch.ones(24)}
    fitted = fit_into(given(tensors), after, partial(build, "unetr"))
    assert fitted.left == ("vit.blocks.0.norm_cross_attn.weight",)


def test_a_transformer_for_another_patch_is_refused() -> None:
    before = build("unetr").state_dict()
    before["vit.patch_embedding.position_embeddings"] = torch.ones(1, 8, 24)
    with pytest.raises(UsageError, match=r"position_embeddings \(1 x 8 x 24 there, 1 x 1 x 24 here\)"):
        fit_into(given(before), build("unetr"), partial(build, "unetr"))


def test_weights_that_are_not_finite_are_refused() -> None:
    state = build("unet").state_dict()
    state[next(iter(state))].view(-1)[3] = torch.nan
    with pytest.raises(UsageError, match="NaN"):
        fit_into(given(state), build("unet"), partial(build, "unet"))


def test_half_precision_is_widened_and_integers_are_refused() -> None:
    state, network = build("segresnet").state_dict(), build("segresnet", seed=1)
    halves = {name: tensor.half() for name, tensor in state.items()}
    give(network, fit_into(given(halves), network, partial(build, "segresnet")))
    assert all(torch.equal(tensor, halves[name].float()) for name, tensor in network.state_dict().items())
    whole = {name: tensor.int() for name, tensor in state.items()}
    with pytest.raises(UsageError, match=r"torch\.int32 there, torch\.float32 here"):
        fit_into(given(whole), network, partial(build, "segresnet"))


def test_the_network_that_the_weights_were_made_for_is_told() -> None:
    weights = given(build("unet").state_dict())
    told = type(weights)("given.pt", weights.tensors, "model of ours", network="network.name=unet")
    with pytest.raises(UsageError, match=r"made for network\.name=unet"):
        fit_into(told, build("segresnet"), partial(build, "segresnet"))
