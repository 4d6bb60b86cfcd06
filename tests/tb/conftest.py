"""Bench runs in tests start in a second: cocotb rewrites the benches' assertions only.

By default it rewrites every module that a bench imports, all of torch included (5 s of CPU).
"""

import os

os.environ.setdefault("COCOTB_REWRITE_ASSERTION_FILES", "tb_*.py")
