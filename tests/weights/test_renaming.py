"""Names of earlier MONAI become those of now, and no other name changes."""

from __future__ import annotations

import pytest
import torch
from small_networks import build, fit_into, given, logits

from torchio_seg.weights.fitting import give
from torchio_seg.weights.renaming import rename

ONE = torch.ones(1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("swin_vit.layers1.0.blocks.0.mlp.fc1.weight", "swinViT.layers1.0.blocks.0.mlp.linear1.weight"),
        ("transformer.norm.bias", "vit.norm.bias"),
        ("transformer.patch_embeddings.1.bias", "vit.patch_embedding.patch_embeddings.1.bias"),
        (
            "transformer.patch_embedding.position_embeddings_3d",
            "vit.patch_embedding.position_embeddings",
        ),
        ("model.0.conv.unit0.norm.weight", "model.0.conv.unit0.adn.N.weight"),
        ("model.0.conv.unit0.N.bias", "model.0.conv.unit0.adn.N.bias"),
        ("model.0.conv.unit0.act.weight", "model.0.conv.unit0.adn.A.weight"),
    ],
)
def test_an_earlier_name_becomes_the_one_that_is_expected(old: str, new: str) -> None:
    assert rename({old: ONE}, {new}) == ({new: ONE}, {old: new})
    assert rename({old: ONE}, {"another"}) == ({old: ONE}, {})


def test_a_name_that_is_expected_or_taken_is_not_touched() -> None:
    old, new = "a.norm.weight", "a.adn.N.weight"
    assert rename({old: ONE}, {old, new})[1] == {}
    assert rename({old: ONE, new: ONE}, {new})[1] == {}


def test_swin_unetr_of_earlier_code_computes_the_same() -> None:
    before, after = build("swinunetr"), build("swinunetr", seed=1)
    tensors = {
        f"module.{name}".replace("swinViT", "swin_vit").replace("mlp.linear", "mlp.fc"): tensor
        for name, tensor in before.state_dict().items()
    }
    fitted = fit_into(given(tensors), after, lambda **_: after)
    give(after, fitted)
    assert fitted.renamed
    assert fitted.renewed == ()
    images = torch.randn(1, 2, 64, 32, 32)
    assert torch.equal(logits(before, images), logits(after, images))
