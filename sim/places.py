"""Weight slots and activation buffers, as the compiler knows them: what was loaded last."""

from collections.abc import Hashable

from sim.packing import Bools


class Places:
    """Slots or buffers, and what is in them; the one longest unused is replaced."""

    def __init__(self, count: int):
        self.held: list[tuple[Hashable, Bools | None]] = [(None, None)] * count
        self.order = list(range(count))

    def find(self, key: Hashable, need: Bools | None = None) -> tuple[int, bool]:
        """The place for `key`, and whether it holds it already (all inputs that `need` names)."""
        for place, (held, came) in enumerate(self.held):
            if held == key and (came is None or need is not None and not (need & ~came).any()):
                self._used(place)
                return place, True
        place = self.order[0]
        self.held[place] = (key, need)
        self._used(place)
        return place, False

    def take(self, place: int, key: Hashable) -> None:
        """`place` will hold `key`."""
        self.held[place] = (key, None)
        self._used(place)

    def _used(self, place: int) -> None:
        self.order.remove(place)
        self.order.append(place)
