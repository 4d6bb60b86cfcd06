"""`python -m gen`: see `gen.cli`."""

import sys

from gen.cli import main

sys.exit(main())
