"""The script of `cargo xtask bench sweep`: a cron job in Python, as many applications have one.

script.py ROOT PATTERN MAX_AGE_SECONDS: list what the pattern names, look at each, remove by path.
"""

import sys
import time
from pathlib import Path

root, pattern, max_age = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
now = time.time()
removed = freed = 0
for path in root.rglob(pattern):
    if path.is_file() and now - path.stat().st_mtime > max_age:
        size = path.stat().st_size
        path.unlink()
        removed += 1
        freed += size
print(removed, freed)
