"""How well scores tell images from elsewhere: the program and the last commands of docs/scores.md, and their table.

    NEXTPIXEL_DATA=data python benchmarks/scores.py    # in an empty folder; some 20 minutes on two cores
    NEXTPIXEL_DATA=data python benchmarks/scores.py --training.max_minutes 0.1

What stands behind the name of the script is added to each `train`. The page gets what the last command prints.
"""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

from nextpixel.cli import main

PAGE = Path(__file__).parents[1] / "docs" / "scores.md"


def measured(page: str, *shorter: str) -> str:
    """The page with its table made anew."""
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(program, {})
    said = ""
    for line in re.findall(r"^    (nextpixel .*)$", page.partition(program)[2], re.MULTILINE):
        words = shlex.split(line)[1:]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            if main([*words, *shorter * (words[0] == "train")]) != 0:
                sys.exit(f"This went wrong: {line}")
        said = out.getvalue()
    return re.sub(r"```text\n.*?```", lambda _: f"```text\n{said}```", page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(measured(PAGE.read_text(), *sys.argv[1:]))
