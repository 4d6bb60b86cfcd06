"""A serial line that loses, changes, repeats and invents bytes."""

import random


class FaultyLine:
    """One direction. `rate`: faults per byte. `counts` says how many there were of each kind."""

    KINDS = ("drop", "flip", "repeat", "insert", "burst")

    def __init__(self, rng: random.Random, rate: float):
        self.rng, self.rate = rng, rate
        self.counts = dict.fromkeys(self.KINDS, 0)

    def __call__(self, data: bytes) -> bytes:
        """What arrives of these bytes."""
        rng, out = self.rng, bytearray()
        burst = 0
        for byte in data:
            if burst:
                burst -= 1
                continue
            if rng.random() >= self.rate:
                out.append(byte)
                continue
            kind = rng.choice(self.KINDS)
            self.counts[kind] += 1
            if kind == "flip":
                out.append(byte ^ 1 << rng.randrange(8))
            elif kind == "repeat":
                out += bytes([byte] * rng.randint(2, 4))
            elif kind == "insert":
                out += bytes([byte, rng.choice((0x7D, 0x7E, rng.randrange(256)))])
            elif kind == "burst":       # several in a row are lost
                burst = rng.randint(1, 30)
        return bytes(out)

    @property
    def faults(self) -> int:
        """Faults so far."""
        return sum(self.counts.values())
