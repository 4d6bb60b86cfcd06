"""Stages: the registers of a pipeline that never stops."""

from amaranth.hdl import Module, Signal, Value


class Stages:
    """Registers values on their way, without a reset unless it is asked for.

    Where nothing can stall, registers need no enable, memories and multipliers can take them in,
    and no path leads back from the end to the mouth.
    """

    def __init__(self, m: Module):
        self._m = m

    def later(self, name: str, value: Value, count: int = 1, *, reset: bool = False) -> Value:
        """`value`, `count` cycles later; zero after a reset if `reset`, else anything."""
        for stage in range(count):
            register = Signal(value.shape(), name=f"{name}_{stage}" if count > 1 else name,
                              reset_less=not reset)
            self._m.d.sync += register.eq(value)
            value = register
        return value

    def trail(self, name: str, value: Value, count: int, *, reset: bool = False) -> list[Value]:
        """`value` now, 1 to `count` cycles later."""
        values = [value]
        for stage in range(count):
            values.append(self.later(f"{name}_{stage}", values[-1], reset=reset))
        return values

    def gated(self, name: str, value: Value, on: Value, otherwise: int = 0) -> Value:
        """`value` a cycle later where `on`, else `otherwise`, by the register's own reset."""
        register = Signal(value.shape(), name=name, reset_less=True)
        self._m.d.sync += register.eq(value)
        with self._m.If(~on):
            self._m.d.sync += register.eq(otherwise)
        return register
