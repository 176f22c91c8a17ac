"""`python -m nextpixel.cli`."""

import sys

from nextpixel.cli import main

sys.exit(main())
