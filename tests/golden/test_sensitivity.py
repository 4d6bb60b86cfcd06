"""The Fisher diagonal, against its definition and against what an error really costs."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as fn

from golden.hybrid_attention import attention_modules
from golden.sensitivity import query_sensitivities, sensitivities
from tests.golden.lms import llama, opt

ROWS = torch.randint(50, (6, 16), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("make", [opt, llama])
def test_all_layers_have_one_and_the_model_is_as_it_was(make):
    model = make()
    before = copy.deepcopy(model.state_dict())
    told = []
    found = sensitivities(model, ROWS, lambda: told.append(1))
    assert set(found) == {n for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    assert all(bool((f >= 0).all()) and float(f.sum()) > 0 for f in found.values())
    assert len(told) == 6
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(part.requires_grad and part.grad is None for part in model.parameters())
    again = sensitivities(model, ROWS)
    assert all(torch.equal(found[name], again[name]) for name in found), "drawn with one seed"


def test_it_predicts_what_an_error_costs():
    """The head's input: loss of small noise there, against 1/2 F e^2."""
    model = llama()
    f = sensitivities(model, [row for seed in range(8) for row in torch.randint(
        50, (16, 16), generator=torch.Generator().manual_seed(seed))])["lm_head"]
    hidden = []
    hook = model.lm_head.register_forward_pre_hook(lambda _, args: hidden.append(args[0]))
    with torch.no_grad():
        model(ROWS)
        hook.remove()
        x, gen, size = hidden[0][:, 1:], torch.Generator().manual_seed(1), 0.05
        clean, real = model.lm_head(x).log_softmax(-1), 0.0
        for _ in range(200):
            noisy = model.lm_head(x + size * torch.randn(x.shape, generator=gen))
            real += float(fn.kl_div(noisy.log_softmax(-1), clean, log_target=True,
                                    reduction="sum")) / x[..., 0].numel() / 200
    assert float(f.sum()) * size ** 2 / 2 == pytest.approx(real, rel=0.15)


@pytest.mark.parametrize("make", [opt, llama])
@pytest.mark.parametrize("turned", [False, True])
def test_queries_have_one_per_head(make, turned):
    model = make()
    before = copy.deepcopy(model.state_dict())
    found = query_sensitivities(model, ROWS, turned)
    assert set(found) == set(attention_modules(model))
    assert all(f.shape[1] == 1 and bool((f > 0).all()) for f in found.values())
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert "spinteger" not in str(model.config._attn_implementation)


def test_a_turn_spreads_what_queries_cost_and_keeps_their_sum():
    plain, turned = (query_sensitivities(llama(), ROWS, way) for way in (False, True))
    for name in plain:
        # Of an orthogonal matrix: the squared gradient's length stays, its parts do not.
        assert torch.allclose(plain[name].sum(-1), turned[name].sum(-1), rtol=1e-3)
        assert not torch.allclose(plain[name], turned[name], rtol=1e-2)


def test_queries_as_their_layer_has_them():
    """OPT without a rotary embedding: q_proj's output, scaled as transformers scales it."""
    model = opt()
    found = query_sensitivities(model, ROWS)
    name = attention_modules(model)[0]
    heads, _, size = found[name].shape
    grads, outs = [], []

    def watch(_, args, out):
        out.retain_grad()
        outs.append(out)
    hook = model.get_submodule(name).q_proj.register_forward_hook(watch)
    draw = torch.Generator().manual_seed(1)
    for row in ROWS:
        logits = model(row[None]).logits[0]
        y = torch.multinomial(logits.detach().softmax(-1), 1, generator=draw)[:, 0]
        fn.cross_entropy(logits, y, reduction="sum").backward()
        grads.append(outs[-1].grad[0, 1:])
    hook.remove()
    want = torch.cat(grads).double().square().mean(0).reshape(heads, 1, size)
    # Its queries are scaled by D^-0.5 before attention sees them.
    assert torch.allclose(found[name], want * size, rtol=1e-2)


def test_layers_that_see_some_tokens_or_none():
    """As experts do: means are of the tokens that come by, and none is no zero."""
    model = llama()
    mlp = model.model.layers[0].mlp
    model.model.layers[0].mlp = Routed(mlp)
    found = sensitivities(model, ROWS)
    name = "model.layers.0.mlp"
    assert f"{name}.unused" not in found
    want = sensitivities(llama(), ROWS)
    # Every other token, among them the first of a window; the others' mean is near all tokens'.
    share = found[f"{name}.inner.down_proj"].sum() / want[f"{name}.down_proj"].sum()
    assert 0.3 < float(share) < 3


class Routed(nn.Module):
    """Sends every other token to a network, flat, as experts get them."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.unused = inner, nn.Linear(32, 32)

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        out = torch.zeros_like(flat)
        out[1::2] = self.inner(flat[1::2])
        return out.reshape(x.shape)
