"""cocotb benches: every stream stalled at random, every integer compared with the golden model."""
