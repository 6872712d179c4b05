"""The text of the kernels as the compilers get it: one string without includes."""

import re
from pathlib import Path

TEXT = Path(__file__).resolve().parent.parent / "src/gpu/text"
INCLUDE = re.compile(r'^\s*#include "(.+)"\s*$')

# What is defined for each type of the operands of products.
DEFINES = {"f32": "", "bf16": "#define ELEM_BF16\n", "f16": "#define ELEM_F16\n"}


def files(name, folder, seen):
    """The file and those that it includes, each once, in the order in which a compiler would read them."""
    path = (folder / name).resolve()
    if path in seen:
        return
    seen.add(path)
    for line in path.read_text().splitlines():
        if include := INCLUDE.match(line):
            yield from files(include[1], path.parent, seen)
    yield path


def join(preludes, precision, folder=TEXT):
    """The preludes, fragments.h and all kernels. Line numbers are those of the files."""
    seen = set()
    parts = [DEFINES[precision]]
    for name in [*preludes, "fragments.h", "kernels.h"]:
        for path in files(name, folder, seen):
            # The line stays, so that messages of compilers count right.
            lines = ["" if INCLUDE.match(line) else line for line in path.read_text().splitlines()]
            parts.append(f'#line 1 "{path.name}"\n' + "\n".join(lines) + "\n")
    return "".join(parts)


def misnumbered(folder=TEXT):
    """Kernels whose parameters are not numbered 0, 1, 2 and so on, up to 30. Only Metal reads these numbers."""
    found = []
    seen = set()
    for path in files("kernels.h", folder, seen):
        text = re.sub(r"//.*", "", path.read_text())
        for kernel in re.finditer(r"\bKERNEL\(\s*(\w+)\s*,", text):
            depth, end = 1, kernel.end()
            while depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            numbers = re.findall(r"\b(?:IN|OUT|LIST|VALUE)\(\s*(\w+)", text[kernel.end() : end])
            if numbers != [str(i) for i in range(len(numbers))] or len(numbers) > 31:
                found.append(f"{path.name}: {kernel[1]} numbers its parameters {', '.join(numbers)}")
    return found
