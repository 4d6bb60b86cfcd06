"""Whole layers on the array: real tokens in, V and fired codes compared, cycles counted.

The job is an .npz file (options "job"): tokens q, e [T, K]; per layer i weights `w<i>` [K, N]
and thresholds `theta<i>` [N] (absent: raw V only). Layers chain: the codes that one layer's RTL
fires are the tokens of the next. The result goes to the file in options "result".
"""

import json
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import torch
from cocotb.utils import get_sim_time

from golden.codes import Codes, is_salient, is_spike
from sim import words
from sim.words import Ints
from tb.bench import PERIOD_NS
from tb.tb_array import ArrayBench, golden


class LayerRun:
    """Runs one layer on the array in as many passes as its weights need."""

    def __init__(self, bench: ArrayBench, w: Ints, theta: Ints | None):
        self.bench, self.w, self.theta = bench, w, theta
        self.cycles = 0           # of fired passes, first word in to last word out
        self.raw_cycles = 0       # of raw passes
        self.load_cycles = 0      # of loading weights and thresholds

    def _now(self) -> int:
        return round(get_sim_time("ns")) // PERIOD_NS

    async def forward(self, q: Ints, e: Ints, **options: Any
                      ) -> tuple[Ints, tuple[Ints, Ints] | None]:
        """V [T, N], and the fired codes (q, e) [T, N] if the layer has thresholds."""
        cfg, (k, n) = self.bench.cfg, self.w.shape
        width = cfg.tiles_resident(k) * cfg.cols          # columns per pass
        psums, fired = [], []
        for first in range(0, n, width):
            w = self.w[:, first:first + width]
            theta = None if self.theta is None else self.theta[first:first + width]
            start = self._now()
            await self.bench.load(w, theta)
            loaded = self._now()
            tiles = await self.bench.run(q, e, w.shape[1], raw=True, **options)
            raw_done = self._now()
            psums.append(words.psums(cfg, tiles, w.shape[1]))
            if theta is not None:
                tiles = await self.bench.run(q, e, w.shape[1], **options)
                fired.append(words.codes(cfg, tiles, w.shape[1]))
            self.load_cycles += loaded - start
            self.raw_cycles += raw_done - loaded
            self.cycles += self._now() - raw_done
        v = np.concatenate(psums, axis=1)
        if self.theta is None:
            return v, None
        return v, (np.concatenate([pair[0] for pair in fired], axis=1),
                   np.concatenate([pair[1] for pair in fired], axis=1))


@cocotb.test()
async def layers(dut):
    """Every integer of every layer equals the golden model's."""
    bench = ArrayBench(dut, "layers", stall=0.0)
    await bench.start()
    options = {"unsigned": bool(bench.options.get("unsigned", False))}
    with np.load(bench.options["job"]) as job:
        arrays = {name: job[name].astype(np.int64) for name in job.files}
    q, e = arrays["q"], arrays["e"]
    results = []
    index = 0
    while f"w{index}" in arrays:
        w, theta = arrays[f"w{index}"], arrays.get(f"theta{index}")
        run = LayerRun(bench, w, theta)
        v, fired = await run.forward(q, e, **options)
        codes = Codes(torch.tensor(q), torch.tensor(e))
        want_v, want_q, want_e = golden(bench.cfg, w, theta, q, e, **options)
        wrong_levels = 0 if fired is None else int(
            ((fired[0] != want_q) | (fired[1] != want_e)).sum())
        results.append({
            "k": w.shape[0], "n": w.shape[1], "tokens": len(q),
            "spikes": int(is_spike(codes, bench.cfg).sum()),
            "salients": int(is_salient(codes, bench.cfg).sum()),
            "cycles": run.cycles or run.raw_cycles, "raw_cycles": run.raw_cycles,
            "load_cycles": run.load_cycles,
            "mismatches_v": int((v != want_v).sum()), "mismatches_levels": wrong_levels,
        })
        if fired is not None:
            q, e = fired
        index += 1
    results[-1]["classes"] = v.argmax(axis=1).tolist()
    Path(bench.options["result"]).write_text(json.dumps(results))
    bad = [r for r in results if r["mismatches_v"] or r["mismatches_levels"]]
    assert not bad, f"mismatches: {bad}"
