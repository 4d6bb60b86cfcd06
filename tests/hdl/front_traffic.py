"""Random programs for the front end: mostly what makes sense, then broken in every way."""

import random

from spinteger import isa
from spinteger.config import Config
from tests.hdl.front_model import Beat, Front, Plan


def whole(cfg: Config) -> int:
    """A `keep` without missing bytes."""
    return (1 << cfg.bus_bits // 8) - 1


def beats(cfg: Config, descriptor: int, payload: list[int]) -> list[Beat]:
    """A packet's beats (data, keep)."""
    mask = (1 << cfg.bus_bits) - 1
    head = [descriptor >> at & mask for at in range(0, isa.DESCRIPTOR_BITS, cfg.bus_bits)]
    return [(data, whole(cfg)) for data in (*head, *payload)]


def payload(cfg: Config, op: str, v: dict, rng: random.Random) -> list[int]:
    """Random beats, as many as the operation needs."""
    def some(count: int) -> list[int]:
        return [rng.getrandbits(cfg.bus_bits) for _ in range(count)]

    if op == "LOAD_ACT":
        return some(v["tokens"] * (1 + v["rows"] * cfg.act_word_beats))
    if op in ("LOAD_THR", "LOAD_SCALE"):
        return some(v["tiles"] * cfg.cols)
    if op != "LOAD_WGT":
        return []
    inputs = v["rows"] * cfg.groups
    if not v["sparse"]:
        return some(v["tiles"] * inputs // cfg.wgt_beat_rows * cfg.wgt_row_beats)
    out = []
    for _ in range(v["tiles"]):
        for k in range(0, inputs, 32):
            share = rng.choice([0, 0.1, 0.5, 1])
            bitmap = sum(1 << bit for bit in range(32) if rng.random() < share)
            out.append(bitmap | some(1)[0] >> 32 << 32)
            count = (bitmap & (1 << min(32, inputs - k)) - 1).bit_count()
            out += some(count * cfg.wgt_row_beats)
    return out


def sensible(front: Front, rng: random.Random) -> tuple[str, dict]:
    """An operation that may well be accepted in this state."""
    cfg, slot = front.cfg, rng.randrange(front.cfg.slots)
    tiles = rng.randint(1, min(3, cfg.tiles))
    rows = rng.choice([1, 2, rng.randint(1, min(4, cfg.rows_k)), min(9, cfg.rows_k)])
    rows = min(rows, cfg.slot_rows // tiles)
    sizes = [size for size in front.bufs if size is not None]
    if sizes and rng.random() < 0.8:
        rows = min(rng.choice(sizes)[0], cfg.slot_rows // tiles)
    size = front.slots[slot]["size"] or (rows, tiles)
    op = rng.choice(["LOAD_WGT", "LOAD_THR", "LOAD_SCALE", "LOAD_ACT", *["RUN"] * 6, "FENCE"])
    if rng.random() < 0.9:       # what comes first
        valid = [n for n, s in enumerate(front.slots) if s["wgt"]]
        if op in ("LOAD_THR", "LOAD_SCALE", "RUN") and not valid:
            op = "LOAD_WGT"
        elif op == "RUN" and not any(s["size"][0] in {size[0] for size in sizes}
                                     for s in map(front.slots.__getitem__, valid)):
            op = "LOAD_ACT"
        elif op == "LOAD_ACT" and front.chain:
            op = "RUN"
        elif op == "RUN" and not any(front.slots[n]["thr"] for n in valid):
            op = "LOAD_THR"
        if valid and op != "LOAD_WGT":
            slot = rng.choice(valid)
            size = front.slots[slot]["size"]
    if op == "LOAD_WGT":
        return op, {"slot": slot, "sparse": rng.getrandbits(1), "rows": rows, "tiles": tiles}
    if op in ("LOAD_THR", "LOAD_SCALE"):
        return op, {"slot": slot, "tiles": size[1]}
    if op == "LOAD_ACT":
        return op, {"buf": rng.getrandbits(1), "rows": size[0],
                    "tokens": rng.choice([1, 1, rng.randint(1, min(3, cfg.tokens))])}
    if op == "FENCE":
        return op, {"tag": rng.getrandbits(32)}
    able = [buf for buf in range(2) if front.bufs[buf] is not None]
    buf = rng.choice(able or [0, 1])
    held = front.bufs[buf] or (1, 1)
    fits = [n for n, s in enumerate(front.slots) if s["wgt"] and s["size"][0] == held[0]]
    if fits:
        slot = rng.choice(fits)
        size = front.slots[slot]["size"]
    kind = rng.choice(["host", "host", "raw", "chain", "chain", "keep", "add"])
    v = {"slot": slot, "buf": buf, "rows": held[0], "tiles": size[1], "tokens": held[1],
         "unsigned": rng.getrandbits(1), "spikes_only": rng.getrandbits(1),
         "silence": rng.randrange(cfg.window + 1) % 16,
         "scale": int(front.slots[slot]["scale"] and rng.random() < 0.7),
         "acc_first": 1, "acc_last": 1, "host": 1}
    if kind == "raw" or not front.slots[slot]["thr"]:
        v["raw"] = 1
    if kind in ("keep", "add") and cfg.acc_depth:
        v["acc_first"] = int(front.sums != (held[1], size[1]) or rng.random() < 0.2)
        v["acc_last"] = v["host"] = int(kind == "add")
    elif kind == "chain" and not v.get("raw"):
        goes_on = front.chain is not None
        v |= {"chain": 1, "chain_buf": front.chain[0] if front.chain else 1 - buf,
              "chain_first": int(not goes_on), "host": rng.getrandbits(1),
              "chain_last": int(held[1] > 1 or rng.random() < 0.5)}
    return op, v


def faulty(op: str, v: dict, rng: random.Random) -> None:
    """Change one field: near misses, and anything."""
    field = rng.choice(isa.BY_NAME[op].fields)
    top = (1 << field.bits) - 1
    v[field.name] = rng.choice([0, 1, top, rng.randint(0, top), v.get(field.name, 0) ^ 1,
                                min(top, v.get(field.name, 0) + 1)])


def program(cfg: Config, plan: Plan, count: int, rng: random.Random,
            faults: float = 0.35) -> tuple[list[list[Beat]], Front]:
    """Packets, ended by a fence, and the model after them."""
    front = Front(cfg, plan)
    packets = []
    for _ in range(count):
        op, v = sensible(front, rng)
        needed = payload(cfg, op, v, rng)
        fault = rng.choice(FAULTS) if rng.random() < faults else ""
        if fault == "field":
            faulty(op, v, rng)
        descriptor = isa.encode(op, **v)
        if fault == "bits":
            descriptor ^= 1 << rng.randrange(128)
        packet = beats(cfg, descriptor, needed)
        if fault == "cut":
            packet = packet[:rng.randint(1, max(1, len(packet) - 1))]
        elif fault == "late":
            packet += [(rng.getrandbits(cfg.bus_bits), whole(cfg))] * rng.randint(1, 3)
        elif fault == "keep":
            at = rng.randrange(len(packet))
            packet[at] = packet[at][0], rng.randrange(whole(cfg))
        elif fault == "short":      # fewer bytes of the last beat: not an error
            packet[-1] = packet[-1][0], whole(cfg) >> rng.randint(0, cfg.bus_bits // 8)
        packets.append(packet)
        front.packets([packet])
    packets.append(beats(cfg, isa.encode("FENCE", tag=0xABCD_1234), []))
    front.packets(packets[-1:])
    return packets, front


FAULTS = ("field", "field", "bits", "cut", "late", "keep", "short")
