"""`python -m golden.evaluate` and what it is made of."""

import copy
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional as fn

from golden import evaluate
from golden.calibration import Calibration
from golden.evaluate_plot import front
from golden.gguf_model import ModelError
from golden.model_energy import MAC8, Traffic, movement, op_count
from golden.models import LanguageModel, load
from golden.perplexity import increase, score, windows
from golden.recipe import Recipe, RecipeError
from golden.recipe_sets import KEYS, SETS
from tests.golden.lms import llama, opt

TEXT = "It is a truth universally acknowledged, that a single man, in possession of a fortune. " * 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random OPT of single bytes, as transformers saves it."""
    from transformers import PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("model")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=bpe).save_pretrained(path)
    opt(vocab_size=len(letters)).save_pretrained(path)
    return path


def test_score(folder):
    lm = load(folder)
    rows = windows(lm, TEXT, 20, 3)
    assert [len(row) for row in rows] == [20, 20, 20]
    found = score(lm, rows)
    want = 0.0
    with torch.no_grad():
        for row in rows:
            want += fn.cross_entropy(lm.model(row[None]).logits[0, :-1], row[1:]).item() * 19
    assert found.tokens == found.bytes == 57        # single bytes
    assert found.perplexity == pytest.approx(math.exp(want / 57))
    assert found.bits_per_byte == pytest.approx(math.log2(found.perplexity))


def test_windows_of_a_short_text(folder):
    lm = load(folder)
    assert [len(row) for row in windows(lm, "x" * 25, 10, 9)] == [10, 10, 5]
    assert [len(row) for row in windows(lm, "x" * 21, 10, 9)] == [10, 10], "one token predicts none"
    for text in ("", "x"):
        with pytest.raises(ModelError, match="too short"):
            windows(lm, text, 10, 9)
    with pytest.raises(ModelError, match="look back"):
        windows(lm, TEXT, 99, 1)


def test_the_error_of_an_increase():
    """Windows that are hard for both say nothing; the error is that of a ratio of sums."""
    base = [(30.0, 10), (80.0, 20), (10.0, 10)]
    assert increase(base, base) == (0, 0)
    even = [(nats + 0.1 * tokens, tokens) for nats, tokens in base]
    assert increase(even, base) == pytest.approx((math.expm1(0.1), 0.0), abs=1e-12)
    more, error = increase([(31.0, 10), (84.0, 20), (13.0, 10)], base)
    assert more == pytest.approx(math.expm1(0.2))
    # Windows lie 1 nat below, on and above the mean of 0.2 per token: sqrt(2 * 3 / 2) / 40.
    assert error == pytest.approx(math.exp(0.2) * math.sqrt(3) / 40)
    assert math.isnan(increase(base[:1], base[:1])[1])


def test_table_json_and_going_on(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPINTEGER_CACHE", str(tmp_path / "cache"))
    text, out = tmp_path / "t.txt", tmp_path / "e.json"
    text.write_text(TEXT)
    argv = [str(folder), "--text", str(text), "--tokens", "64", "--length", "32",
            "--k-mad", "3,2", "--json", str(out),
            "--plot", str(tmp_path / "e.svg")]
    assert evaluate.main(argv) == 0
    assert "W4A8" in (tmp_path / "e.svg").read_text()
    report = json.loads(out.read_text())
    lines = {one["recipe"]: one for one in report["recipes"]}
    assert list(lines) == ["unquantised", "W8A8", "W4A8", "W4A4", "W4A4&8 k_mad 3",
                           "W4A4&8 k_mad 2"]
    coarse, fine = lines["W4A4&8 k_mad 3"], lines["W4A4&8 k_mad 2"]
    assert 0 < coarse["salient"] < fine["salient"] < 0.5 and coarse["zeros"] > fine["zeros"]
    assert coarse["energy_opcount"] < fine["energy_opcount"] < lines["W4A8"]["energy_opcount"]
    assert lines["W4A8"]["energy_opcount"] == pytest.approx(MAC8)
    assert lines["W8A8"]["energy_movement"] > 1.5 * lines["W4A8"]["energy_movement"]
    assert lines["W8A8"]["executable"].startswith("weights of 8 bits")
    assert lines["unquantised"]["more"] == lines["unquantised"]["more_error"] == 0
    assert lines["W4A4"]["more"] == pytest.approx(
        lines["W4A4"]["ppl"] / lines["unquantised"]["ppl"] - 1)
    assert abs(lines["W8A8"]["more"]) < abs(lines["W4A4"]["more"]) and "by_window" not in coarse
    assert all(one["bits_per_byte"] > 0 and one["tokens"] == 62 for one in lines.values())
    assert coarse["cycles"] > coarse["cycles_dense"] > 0 and "cycles" not in lines["W4A4"]
    assert "W4A4&8 k_mad 2" in capsys.readouterr().out

    def never(*_):
        raise AssertionError("measured again")
    monkeypatch.setattr(evaluate, "score", never)
    assert evaluate.main(argv) == 0 and json.loads(out.read_text()) == report
    text.write_text(TEXT[1:])
    with pytest.raises(AssertionError, match="again"):
        evaluate.main(argv)


@pytest.mark.parametrize("more, words", [
    (["--k-mad", "a"], "--k-mad a"), (["--k-mad", "0"], "positive"),
    (["--set", "ablation", "--attention"], "--set ablation"),
    (["--set", "ablation", "--k-mad", "3"], "--k-mad"), (["--price", "nan"], "positive"),
    (["--price", "inf"], "finite"), (["--price", "0"], "positive"),
    (["--step", "group", "--wgt", "rtn"], "needs weights in groups"),
    (["--price", "x"], "--price x"), (["--price=-1"], "positive"),
    (["--text", "/none.txt"], "none.txt"), (["--pe", "16"], "--pe 16"),
    (["--length", "0"], "--length"), (["--tokens", "0"], "--tokens"),
    (["--pe", "0x4"], "rows"), (["--plot", "e.txt"], ".svg"),
    (["--json", "/no/such/e.json"], "--json")])
def test_mistakes(folder, more, words, capsys):
    assert evaluate.main([str(folder), "--tokens", "8", *more]) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_models_that_cannot_be_loaded(folder, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes((broken / "model.safetensors").read_bytes()[:999])
    small = tmp_path / "small"
    opt(vocab_size=100).save_pretrained(small)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (small / name).write_bytes((folder / name).read_bytes())
    for path, words in ((empty, "config.json"), (broken, "broken"), (small, "do not belong"),
                        (tmp_path / "none", "no such file")):
        with pytest.raises(ModelError, match=words):
            load(path)


def test_the_papers_figures_by_operation_count():
    def saving(p):
        return 1 - op_count(Traffic(100, 100, 1.0, p, 4, 7)) / (10_000 * MAC8)
    assert saving(0.0264) == pytest.approx(0.8466, abs=1e-4)
    assert 1 / (1 - saving(0.1)) == pytest.approx(4.6, abs=1e-2)


def test_movement_outweighs_operations():
    layer = Traffic(576, 576, 0.8, 0.05, 4.5, 7)
    assert movement(layer) > 20 * op_count(layer)
    assert movement(Traffic(576, 576, 0.4, 0.05, 4.5, 7)) < movement(layer)
    assert movement(replace(layer, groups=18)) > 1.04 * movement(layer)
    assert op_count(replace(layer, acts="int4")) < op_count(replace(layer, acts="int8"))


def test_front():
    points = [{"recipe": name, "ppl": ppl, "e": e} for name, ppl, e in (
        ("a", 10.0, 5.0), ("b", 12.0, 3.0), ("worse", 12.0, 4.0), ("c", 20.0, 1.0))]
    assert [one["recipe"] for one in front(points, "e")] == ["c", "b", "a"]


def test_cycles_are_of_a_machine_with_the_recipe_s_window(tmp_path):
    lm = LanguageModel("x", opt(), SimpleNamespace(decode=lambda ids: "x" * len(ids)), 32, "")
    seen = []

    class Array:
        def layers(self, model, levels, window):
            seen.append((window, max(int(level.abs().max()) for level in levels.values())))
            return 2.0, 1.0
    found = evaluate.evaluate(lm, [torch.arange(20)], {
        name: Recipe(window=window, k_mad=9.0, salience=False)
        for name, window in (("a", 7), ("b", 15))}, tmp_path / "kept.json", Array())
    assert seen == [(7, 7), (15, 15)] and [one["time_steps"] for one in found] == [8, 16]


def named(*argv):
    return evaluate.recipes(evaluate.parser().parse_args(["tiny", *argv]))


def test_recipe_names():
    found = named("--k-mad", "3", "--attention", "--wgt", "rtn")
    assert found["W4A4&8 k_mad 3"] == Recipe(k_mad=3.0, wgt="rtn", **KEYS)
    assert found["unquantised"].acts == "float"
    found = named("--k-mad", "", "--price", "1e-5,5e-6", "--step", "group")
    assert found["W4A4&8 price 5e-06, a step per group"] == Recipe(
        price=5e-6, step="group")
    assert list(found)[:2] == ["unquantised", "W8A8"] and len(found) == 6
    assert found["W8A8"] == Recipe(acts="int8", wgt="rtn", wgt_bits=8)


def test_sizes_of_groups():
    found = named("--set", "groups")
    assert all(one.wgt == "gptq" for name, one in found.items() if name != "unquantised")
    assert [one.group for one in found.values()] == [0, 32, 32, 64, 64, 192, 192, 0, 0]
    with pytest.raises(RecipeError, match="leave out --wgt and --group"):
        named("--set", "groups", "--wgt", "rtn")


def test_groups_that_do_not_divide_are_found_before_anything_is_measured(tmp_path):
    lm = LanguageModel("x", opt(), SimpleNamespace(decode=lambda ids: "x" * len(ids)), 32, "")
    with pytest.raises(ModelError, match="no multiple of the weight group 64"):
        evaluate.evaluate(lm, [torch.arange(20)], named("--set", "groups"), tmp_path / "kept.json",
                          None)
    assert not (tmp_path / "kept.json").exists()


def test_the_set_of_groups_can_be_obeyed(monkeypatch):
    monkeypatch.setattr(Calibration, "rows", [torch.arange(16)])
    lm = LanguageModel("x", opt(hidden_size=192, ffn_dim=384, word_embed_proj_dim=192), None, 32,
                       "")
    calibration = Calibration(lm)
    for recipe in list(named("--set", "groups").values())[1:]:
        trial = copy.deepcopy(lm.model)
        report = calibration.convert(trial, recipe)
        with torch.no_grad():
            assert bool(torch.isfinite(trial(torch.arange(16)[None]).logits).all())
        assert all(line.converted for line in report.lines if "lm_head" not in line.name)


@pytest.mark.parametrize("kind", sorted(set(SETS) - {"groups"}))
@pytest.mark.parametrize("model", ["opt", "llama"])
def test_sets_of_recipes_can_be_obeyed(kind, model, monkeypatch):
    """Each converts and gives finite logits; all differ."""
    monkeypatch.setattr(Calibration, "rows", list(torch.randint(
        50, (3, 16), generator=torch.Generator().manual_seed(1))))
    lm = LanguageModel("x", {"opt": opt, "llama": llama}[model](), None, 32, "")
    calibration, ids = Calibration(lm), torch.arange(16)[None]
    seen = set()
    for name, recipe in named("--set", kind, "--wgt", "rtn",
                              "--group", "16").items():
        if recipe.acts == "float":
            continue
        trial = copy.deepcopy(lm.model)
        report = calibration.convert(trial, recipe)
        with torch.no_grad():
            logits = trial(ids).logits
        assert bool(torch.isfinite(logits).all()), name
        coder = next(iter(report.coders.values()))
        assert coder.last.shape == (16, 32) and str(recipe) not in seen
        seen.add(str(recipe))
    assert len(seen) > 10
