"""Stages: the registers of a pipeline that never stops."""

from collections.abc import Sequence

from amaranth.hdl import Module, Signal, Value


class Stages:
    """Registers values on their way, without a reset unless it is asked for.

    Where nothing can stall, no path leads back from the end to the mouth, and memories and
    multipliers can take registers in. Enables are there to save energy: a register whose stage
    holds nothing (`on` is low) keeps what it has, so its clock need not run.
    """

    def __init__(self, m: Module):
        self._m = m

    def later(self, name: str, value: Value, count: int = 1, *, reset: bool = False,
              on: Sequence[Value] = ()) -> Value:
        """`value`, `count` cycles later; zero after a reset if `reset`, else anything.

        `on`: for each of the `count` registers, whether it holds something that is needed after
        the next edge. Else it may keep what it has.
        """
        for stage in range(count):
            register = Signal(value.shape(), name=f"{name}_{stage}" if count > 1 else name,
                              reset_less=not reset)
            if on:
                with self._m.If(on[stage]):
                    self._m.d.sync += register.eq(value)
            else:
                self._m.d.sync += register.eq(value)
            value = register
        return value

    def trail(self, name: str, value: Value, count: int, *, reset: bool = False) -> list[Value]:
        """`value` now, 1 to `count` cycles later."""
        values = [value]
        for stage in range(count):
            values.append(self.later(f"{name}_{stage}", values[-1], reset=reset))
        return values

    def gated(self, name: str, value: Value, on: Value, otherwise: int = 0,
              moves: Value | None = None) -> Value:
        """`value` a cycle later where `on`, else `otherwise`, by the register's own reset.

        `moves`: whether that is needed at all, as `on` of `later`.
        """
        register = Signal(value.shape(), name=name, reset_less=True)
        if moves is None:
            self._m.d.sync += register.eq(value)
            with self._m.If(~on):
                self._m.d.sync += register.eq(otherwise)
        else:
            with self._m.If(moves):
                self._m.d.sync += register.eq(value)
            with self._m.If(moves & ~on):       # outermost, or it takes a multiplexer
                self._m.d.sync += register.eq(otherwise)
        return register
