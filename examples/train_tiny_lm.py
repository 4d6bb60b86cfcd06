"""Train the small language model of this repository: OPT-style, two million parameters.

    python examples/train_tiny_lm.py --out build/tiny        # about an hour on one core

Five novels of Jane Austen to train on (golden/austen.py), *Persuasion* held out. Ctrl-C and start
again: it goes on from the last checkpoint. What is committed in golden/tiny was made by this
script; its log is there too.

The recipe: byte-level BPE of 1024 tokens from the same five novels; four blocks of width 192, ReLU,
no biases in linear layers, tied embedding; Muon for matrices, AdamW for the rest (both torch's),
the learning rate up in 100 steps and down along a cosine.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional as fn
from transformers import OPTConfig, OPTForCausalLM, PreTrainedTokenizerFast

from golden import austen

VOCABULARY, CONTEXT, BATCH, WARM = 1024, 256, 8, 100
SHAPE = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 6, "ffn_dim": 768}


def train_tokenizer(text: str) -> Tokenizer:
    """Byte-level BPE: any text, byte for byte."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(text.splitlines(keepends=True), trainers.BpeTrainer(
        vocab_size=VOCABULARY, show_progress=False, special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return bpe


def new_model(seed: int) -> OPTForCausalLM:
    """Random weights."""
    torch.manual_seed(seed)
    return OPTForCausalLM(OPTConfig(
        **SHAPE, vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, enable_bias=False,
        activation_function="relu", dropout=0.1, attention_dropout=0.0, word_embed_proj_dim=192,
        do_layer_norm_before=True, pad_token_id=0, bos_token_id=0, eos_token_id=0))


@torch.no_grad()
def bits_per_token(model: OPTForCausalLM, ids: Tensor, windows: int) -> float:
    """On the first `windows` windows of a text; every token but a window's first is predicted."""
    model.eval()
    rows = ids[:windows * CONTEXT].view(-1, CONTEXT)
    losses = [fn.cross_entropy(model(row[None]).logits[0, :-1], row[1:]).item() for row in rows]
    model.train()
    return sum(losses) / len(losses) / math.log(2)


def batches(ids: Tensor, generator: torch.Generator) -> Tensor:
    """Random windows, [BATCH, CONTEXT + 1]."""
    starts = torch.randint(len(ids) - CONTEXT - 1, (BATCH,), generator=generator)
    return torch.stack([ids[start:start + CONTEXT + 1] for start in starts.tolist()])


def train(out: Path, steps: int, seed: int) -> None:
    """Train, or go on training; writes checkpoint and log."""
    if (out / "training.json").exists():
        raise SystemExit(f"{out} holds a model that is trained: use another --out")
    texts = {name: austen.paragraphs(text) for name, text in austen.novels().items()}
    corpus = "".join(texts[name] for name in austen.TRAINING)
    held_out = texts[austen.HELD_OUT]
    out.mkdir(parents=True, exist_ok=True)
    bpe = train_tokenizer(corpus)
    ids, test = (torch.tensor(bpe.encode(text).ids) for text in (corpus, held_out))
    per_byte = len(test) / len(held_out.encode())
    PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>",
                            model_max_length=CONTEXT).save_pretrained(out)

    model = new_model(seed)
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and ".layers." in name]
    others = [p for name, p in model.named_parameters()
              if not (p.dim() == 2 and ".layers." in name)]
    optimizers = [torch.optim.Muon(matrices, lr=0.02, weight_decay=0.05),
                  torch.optim.AdamW(others, lr=3e-3, weight_decay=0.0, betas=(0.9, 0.95))]
    peaks = [0.02, 3e-3]
    generator = torch.Generator().manual_seed(seed)
    first, spent, log = 0, 0.0, []
    saved = out / "training.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        if state.get("plan", [steps, seed]) != [steps, seed]:
            raise SystemExit(f"{saved} was made with --steps and --seed {state['plan']}: use "
                             "these, or another --out")
        model.load_state_dict(state["model"])
        for optimizer, inner in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(inner)
        generator.set_state(state["generator"])
        torch.set_rng_state(state["rng"])
        first, spent, log = state["step"], state["seconds"], state["log"]
        print(f"going on at step {first}")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(ids):,} tokens, "
          f"{len(held_out.encode()) / len(test):.2f} bytes per token", flush=True)

    began, running = time.monotonic() - spent, 0.0
    model.train()
    for step in range(first, steps):
        rate = min((step + 1) / WARM, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * rate
        rows = batches(ids, generator)
        loss = fn.cross_entropy(model(rows[:, :-1]).logits.flatten(0, 1), rows[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        running = loss.item() if not running else 0.99 * running + 0.01 * loss.item()
        if (step + 1) % 250 == 0 or step + 1 == steps:
            last = step + 1 == steps
            bits = bits_per_token(model, test, len(test) // CONTEXT if last else 60) * per_byte
            log.append({"step": step + 1, "seconds": round(time.monotonic() - began),
                        "train_nats_per_token": round(running, 4),
                        "held_out_bits_per_byte": round(bits, 4)})
            print(log[-1], flush=True)
            part = saved.with_suffix(".part")
            torch.save({"model": model.state_dict(), "step": step + 1, "log": log,
                        "plan": [steps, seed],
                        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                        "generator": generator.get_state(), "rng": torch.get_rng_state(),
                        "seconds": time.monotonic() - began}, part)
            part.replace(saved)
    model.save_pretrained(out)
    (out / "training.json").write_text(json.dumps({
        "text": {"train": austen.TRAINING, "held_out": austen.HELD_OUT, "deb": austen.DEB_SHA256},
        "seed": seed, "steps": steps, "batch": BATCH, "context": CONTEXT,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(), "machine": platform.machine(), "log": log}, indent=1))
    saved.unlink()


def main() -> None:
    """Command line."""
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0],
                                formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--out", type=Path, default=Path("build/tiny"), help="gets the checkpoint")
    p.add_argument("--steps", type=int, default=8000, help=f"of {BATCH} x {CONTEXT} tokens")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=1, help="of torch")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    train(args.out, args.steps, args.seed)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("stopped; start again to go on from the last checkpoint") from None
