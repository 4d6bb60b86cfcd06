"""From layers and tokens to packets, and how to read the results of those.

    for stage in stages(cfg, layers, tokens=len(q)):
        program = compile_stage(cfg, layers, stage, q, e)
        results = program.read(cfg, execution)          # {layer: Values}

A *stage* is what runs without the host: one layer of any size, or layers chained on chip. Codes go
through the host between stages; `Stage.notes` says why. Nothing here knows a backend.

How a layer is cut (`sim.plan`): column tiles into groups that fit a weight slot, loaded in turns so
that one loads while another computes; inputs into passes whose sums are kept and added, one per
scale group at least; tokens into batches that fit an activation buffer, two of them per load of the
weights. Where several sizes of tile groups are worth trying, `sim.estimate` decides.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from golden.codes import Codes
from golden.trains import list_length, train_length
from sim import packets, plan, results
from sim.estimate import estimate
from sim.packets import Execution, Packet
from sim.packing import Bools, Ints
from sim.places import Places
from sim.plan import CompileError, Group, Layer, Pass, Range
from spinteger.config import Config

FETCHES = ("all", "live")

__all__ = ["CompileError", "Group", "Layer", "Output", "Program", "Stage", "compile_stage",
           "stages"]


@dataclass(frozen=True)
class Stage:
    """Layers first..last-1, on chip from the first's inputs to the last's results."""

    first: int
    last: int
    notes: tuple[str, ...] = ()     #: why it does not go on with the next layer


@dataclass(frozen=True)
class Output:
    """What one output packet holds."""

    layer: int
    tokens: Range
    tiles: Range


@dataclass
class Program:
    """Packets, and what comes of them."""

    layers: dict[int, Layer]                    #: those whose results leave, by number
    tokens: int
    packets: list[Packet] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)     #: in order of the output packets
    batch: int = 0                              #: tokens of the largest batch

    def read(self, cfg: Config, execution: Execution) -> dict[int, results.Values]:
        """Results of every layer that leaves. Raises `WordError` when they are not all there."""
        if len(execution.packets) != len(self.outputs):
            raise results.WordError(f"{len(execution.packets)} output packets, not "
                                    f"{len(self.outputs)}")
        found = {number: results.Values.empty(cfg, layer.fires, self.tokens, layer.n)
                 for number, layer in self.layers.items()}
        for output, words in zip(self.outputs, execution.packets, strict=True):
            found[output.layer].fill(cfg, words, output.tokens, output.tiles)
        return {number: values.trimmed(self.layers[number].n) for number, values in found.items()}


def stages(cfg: Config, layers: Sequence[Layer], tokens: int) -> list[Stage]:
    """The layers cut where codes must go through the host. Raises `CompileError`."""
    for number, layer in enumerate(layers):
        plan.check(cfg, layer)
        before = layers[number - 1] if number else None
        if before is None:
            continue
        if before.n != layer.k:
            raise CompileError(f"{layer.name}: has {layer.k} inputs, but {before.name} has "
                               f"{before.n} outputs")
        if not before.fires:
            raise CompileError(f"{before.name}: leaves raw V, so {layer.name} has no codes to read")
        if not cfg.signed and not before.unsigned:
            raise CompileError(f"{before.name}: fires negative levels, which {layer.name} cannot "
                               "read on an unsigned machine; make it unsigned")
    found, first = [], 0
    inputs: int | None = None           # what the current layer reads, if chained
    for number, layer in enumerate(layers):
        after = layers[number + 1] if number + 1 < len(layers) else None
        why = plan.why_not_chain(cfg, layer, after, tokens, inputs) if after else None
        if after is None or why is not None:
            note = () if after is None or why is None else (
                f"{layer.name} -> {after.name} through the host: {why}",)
            found.append(Stage(first, number + 1, note))
            first, inputs = number + 1, None
        else:
            inputs = cfg.col_tiles(layer.n) * cfg.cols
    return found


def compile_stage(cfg: Config, layers: Sequence[Layer], stage: Stage, q: Ints,
                  e: Ints | None = None, shift: Ints | None = None, *, batch: int | None = None,
                  taps: bool = False, fetch: str = "all",
                  places: tuple[Places, Places] | None = None,
                  keys: tuple[Hashable, Hashable] = (0, 0)) -> Program:
    """Packets that run a stage on codes q, e [T, K] with token shifts [T].

    batch: at most so many tokens at a time. taps: results of chained layers leave too. fetch
    "live": of layers whose inputs are known, only weight rows of inputs that are not silent in all
    tokens of a batch are loaded, where that is shorter. places, keys: slots and buffers shared with
    other stages of one program, and what tells these weights and these inputs from theirs. Raises
    `CompileError`.
    """
    first = layers[stage.first]
    if fetch not in FETCHES:
        raise CompileError(f"fetch {fetch}: choose from {', '.join(FETCHES)}")
    if q.ndim != 2 or not len(q) or q.shape[1] != first.k:
        raise CompileError(f"{first.name}: inputs {list(q.shape)} must be [tokens, {first.k}]")
    e = np.zeros_like(q) if e is None else e
    if shift is not None and np.any(shift) and not cfg.shift_bits:
        raise CompileError(f"{first.name}: tokens have shifts but --scale-bits is 0")
    shared, places = places is not None, places or (Places(cfg.slots), Places(2))

    def attempt(where: tuple[Places, Places], rank: int) -> _Compiler:
        return _Compiler(cfg, layers, stage, q, e, shift, taps, fetch == "live", where, keys, rank)

    best = attempt(places, 0)
    program = best.compile(batch)
    if shared or stage.last - stage.first > 1 or best.choices == 1:
        return program
    # Several ways to cut it: the one that takes the fewest cycles.
    others = (attempt((Places(cfg.slots), Places(2)), rank).compile(batch)
              for rank in range(1, best.choices))
    return min([program, *others], key=lambda one: estimate(one.packets, cfg).cycles)


class _Compiler:
    def __init__(self, cfg: Config, layers: Sequence[Layer], stage: Stage, q: Ints, e: Ints,
                 shift: Ints | None, taps: bool, live: bool, places: tuple[Places, Places],
                 keys: tuple[Hashable, Hashable], rank: int):
        self.cfg, self.layers, self.stage = cfg, layers, stage
        self.q, self.e, self.shift, self.taps, self.live = q, e, shift, taps, live
        (self.slots, self.bufs), (self.wgt_key, self.act_key) = places, keys
        self.rank, self.choices = rank, 1       # which of the sizes of tile groups, of how many
        numbers = range(stage.first, stage.last)
        leaving = numbers if taps else numbers[-1:]
        self.program = Program({number: layers[number] for number in leaving}, len(q))

    def compile(self, most: int | None) -> Program:
        cfg, number = self.cfg, self.stage.first
        layer, chained = self.layers[number], self.stage.last - number > 1
        steps = plan.passes(cfg, layer)
        codes = [Codes(torch.from_numpy(self.q[:, one.start:one.stop]),
                       torch.from_numpy(self.e[:, one.start:one.stop])) for one in steps]
        train = [train_length(one, cfg) for one in codes]
        lists = [list_length(one, cfg) for one in codes]
        most = most or cfg.tokens
        fit = max(end - start for start, end in
                  plan.batches(cfg, len(self.q), most, train, lists))
        sizes = plan.group_sizes(cfg, layer, len(self.q), fit)
        self.choices, size = len(sizes), sizes[self.rank]
        if chained:
            size = max(size, min(plan.resident(cfg, layer), cfg.col_tiles(layer.n)))
            for before in self.layers[number:self.stage.last - 1]:
                most = min(most, plan.chained_tokens(cfg, cfg.col_tiles(before.n) * cfg.cols))
        groups = plan.tile_groups(cfg, layer, size)
        if len(steps) > 1:
            widest = max(last - first for first, last in groups)
            most = min(most, cfg.acc_depth // (widest * cfg.cols))
        batches = plan.batches(cfg, len(self.q), most, train, lists)
        self.program.batch = max(last - first for first, last in batches)
        # Two batches per load of the weights, where nothing else takes the buffers.
        together = 2 if len(steps) == 1 and not chained else 1
        for at in range(0, len(batches), together):
            self._layer(number, steps, groups, batches[at:at + together])
            for after in range(number + 1, self.stage.last):
                self._chained(after, batches[at])
        return self.program

    def _layer(self, number: int, steps: list[Pass], groups: list[Range],
               batches: list[Range]) -> None:
        """The stage's first layer, which reads what the host loads."""
        for tiles in groups:
            for index, step in enumerate(steps):
                for batch in batches:
                    buf = self._acts(step, batch)
                    slot = self._weights(number, step, tiles, index == len(steps) - 1, batches)
                    self._run(number, slot, buf, tiles, step.inputs, batch,
                              acc_first=index == 0, acc_last=index == len(steps) - 1,
                              scale=step.group is not None)

    def _chained(self, number: int, batch: Range) -> None:
        """A later layer, which reads what the one before chained."""
        cfg, layer = self.cfg, self.layers[number]
        inputs = cfg.col_tiles(self.layers[number - 1].n) * cfg.cols
        step = plan.passes(cfg, layer)[0]
        buf, held = self.bufs.find(("chained", number, batch))
        assert held, "the layer before chained into it"
        for tiles in plan.tile_groups(cfg, layer, plan.resident(cfg, layer, inputs)):
            slot = self._weights(number, step, tiles, True, [], inputs)
            self._run(number, slot, buf, tiles, inputs, batch, acc_first=True, acc_last=True,
                      scale=step.group is not None)

    # -- packets -------------------------------------------------------------------------------

    def _acts(self, step: Pass, batch: Range) -> int:
        buf, held = self.bufs.find((self.act_key, step.start, batch))
        if not held:
            tokens, inputs = slice(*batch), slice(step.start, step.stop)
            self.program.packets.append(packets.load_act(
                self.cfg, buf, self.q[tokens, inputs], self.e[tokens, inputs],
                None if self.shift is None else self.shift[tokens]))
        return buf

    def _weights(self, number: int, step: Pass, tiles: Range, last: bool, batches: list[Range],
                 inputs: int | None = None) -> int:
        """The slot that holds these weights, with scales and (for the last pass) thresholds."""
        cfg, layer, out = self.cfg, self.layers[number], self.program.packets
        live: Bools | None = None
        if self.live and batches:
            tokens = slice(batches[0][0], batches[-1][1])
            live = (self.q[tokens, step.start:step.stop] != 0).max(axis=0)
        slot, held = self.slots.find((self.wgt_key, number, step.start, tiles), live)
        if held:
            return slot
        columns = slice(tiles[0] * cfg.cols, tiles[1] * cfg.cols)
        w = layer.w[step.start:step.stop, columns]
        if inputs is not None:
            w = np.pad(w, ((0, inputs - len(w)), (0, 0)))
        dense = packets.load_wgt(cfg, slot, w)
        sparse = dense if live is None else packets.load_wgt(cfg, slot, w, live)
        if live is not None and len(sparse.payload) >= len(dense.payload):
            self.slots.take(slot, (self.wgt_key, number, step.start, tiles))      # all of it came
            sparse = dense
        out.append(sparse)
        if last and layer.fires:
            out.append(packets.load_thr(cfg, slot, layer.theta[columns]))
        if step.group is not None:
            out.append(packets.load_scale(cfg, slot, step.group.mul[columns],
                                          step.group.shift[columns]))
        return slot

    def _run(self, number: int, slot: int, buf: int, tiles: Range, inputs: int, batch: Range, *,
             acc_first: bool, acc_last: bool, scale: bool) -> None:
        cfg, layer = self.cfg, self.layers[number]
        flags: dict[str, int] = {"acc_first": acc_first, "acc_last": acc_last, "scale": scale}
        chain = acc_last and number + 1 < self.stage.last
        host = acc_last and number in self.program.layers
        if acc_last:
            flags |= {"host": host, "chain": chain, "raw": not layer.fires}
        if acc_last and layer.fires:
            flags |= {"unsigned": layer.unsigned, "spikes_only": layer.spikes_only,
                      "silence": layer.silence}
        if chain:
            flags |= {"chain_buf": 1 - buf, "chain_first": tiles[0] == 0,
                      "chain_last": tiles[1] == cfg.col_tiles(layer.n)}
            self.bufs.take(1 - buf, ("chained", number + 1, batch))
        if host:
            self.program.outputs.append(Output(number, batch, tiles))
        self.program.packets.append(packets.run(
            cfg, slot=slot, buf=buf, rows=cfg.tile_rows(inputs), tiles=tiles[1] - tiles[0],
            tokens=batch[1] - batch[0], **flags))
