"""`python -m sim.generate`: a model speaks on the machine as it does on the golden model."""

import pytest
import torch

from golden.conversion import convert
from golden.hybrid_linear import golden_products
from golden.recipe import Recipe
from sim import generate
from sim.accelerator import Accelerator
from sim.generate import MachineProducts, chooser, machine, speak
from tests.golden.lms import llama, opt

IDS = [3, 1, 4, 1, 5]


def test_products_equal_the_golden_ones_on_the_rtl():
    rng = torch.Generator().manual_seed(2)
    products = [(torch.randint(-40, 40, (2, k), generator=rng) ** 2,
                 torch.randint(-8, 8, (k, n), generator=rng).to(torch.int8))
                for k, n in ((3, 2), (40, 33), (18, 16))]
    for level, _ in products:
        level[level > 127] = 127
    rtl = MachineProducts(Accelerator(machine(), "verilator"))
    for got, want in zip(rtl(products), golden_products(products), strict=True):
        assert torch.equal(got, want)
    assert rtl.products == 3 and rtl.programs == 1 and not rtl.wrong
    assert rtl.counters["cycles"] > 0 and rtl.macs == 2 * (6 + 40 * 33 + 18 * 16)


@pytest.mark.parametrize("make", [opt, llama])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_the_same_text_on_both(make, temperature):
    texts = []
    for products in (golden_products, MachineProducts(Accelerator(machine(), "verilator"))):
        model = make()
        convert(model, Recipe(attention=True), products=products)
        texts.append(speak(model, IDS, 6, chooser(temperature, 7)))
        if products is not golden_products:
            assert products.wrong == 0 and products.programs > 6 * 2 * 6
    assert texts[0] == texts[1] and len(texts[0]) == 6


def test_sampling_is_seeded():
    logits = torch.randn(50, generator=torch.Generator().manual_seed(1))

    def drawn(seed):
        choose = chooser(1.0, seed)
        return [choose(logits) for _ in range(20)]
    assert drawn(1) == drawn(1) != drawn(2)
    assert chooser(0.0, 1)(logits) == int(logits.argmax())


def test_a_wrong_sum_is_counted(monkeypatch):
    rtl = MachineProducts(Accelerator(machine(), "golden"))
    monkeypatch.setattr(generate, "golden_product", lambda level, codes: torch.ones(1, 2))
    rtl([(torch.zeros(1, 3, dtype=torch.int64), torch.ones(3, 2, dtype=torch.int8))])
    assert rtl.wrong == 2


def test_the_tiny_model_speaks_on_the_rtl(capsys):
    assert generate.main(["It is a truth", "--tokens", "3", "--temperature", "0.8"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("It is a truth") and "bit-exact against the golden model: yes" in out
    assert "s per token" in err and "tokens/s" in out and "  cycles " in out


def test_more_tokens_than_the_model_can_look_back_on(capsys):
    assert generate.main(["It is a truth", "--tokens", "300"]) == 2
    assert "256" in capsys.readouterr().err


@pytest.mark.parametrize("argv, words", [
    (["x", "--tokens", "0"], "--tokens 0"), (["", "--tokens", "3"], "empty"),
    (["x", "--temperature", "-1"], "--temperature"), (["x", "--model", "none"], "none"),
    (["x", "--model", "tests"], "config.json")])
def test_mistakes_are_one_line(argv, words, capsys):
    assert generate.main(argv) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
