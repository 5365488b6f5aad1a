"""Everything that only an accelerator can tell, by one command."""

import time

BEGAN = time.monotonic()
"""When the process began, on the clock that the minutes of the command are counted on."""
