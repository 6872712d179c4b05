#!/usr/bin/env python3
"""Compiles the kernels for GPUs on a machine without one.

    python3 compile.py --cuda-home DIR [--arch 80 90 ...] [--clang clang] [--write FILE]

NVRTC and ptxas come from NVIDIA's wheels on PyPI (nvidia-cuda-nvrtc, nvidia-cuda-nvcc). DIR is a folder above both,
such as a virtual environment. A kernel that does not compile, keeps values in local memory or needs more than 48 KiB of
shared memory is an error. --write describes what the kernels take, for docs/src/gpu-kernels.md. With --clang, clang (14 or later) also checks the text for Metal, as far as C++ for OpenCL
resembles it.
"""

import argparse
import datetime
import sys
from pathlib import Path

import metal
import sources
from cuda import Cuda, Refused

SHARED_LIMIT = 48 << 10
PAGE = """\
# What the kernels take

Registers of a thread on each architecture, and bytes: shared memory of a block, and what a thread keeps in local memory. `ptxas`
counts them. Blocks have up to 128 threads, so that a thread may use 255 registers.

`check/compile.py` made this page on {date}, with NVRTC {version}. Another version gives other numbers. To make it again,
where `DIR` has NVRTC and ptxas (the wheels `nvidia-cuda-nvrtc`, `nvidia-cuda-nvcc` and `nvidia-nvvm` of PyPI, for example):

```console
python3 crates/cropmae-kernels/check/compile.py --cuda-home DIR --write docs/src/gpu-kernels.md
```

{table}
"""


def check_cuda(cuda, archs, folder):
    """Compiles for CUDA; returns (kernel, precision, architecture, Usage) of each kernel, and what is wrong."""
    rows, faults, warnings = [], [], set()
    for precision in ("f32", "bf16"):
        text = sources.join(["cuda.h"], precision, folder)
        for arch in archs:
            try:
                ptx, log = cuda.ptx(text, arch)
                kernels = cuda.usage(ptx, arch)
            except Refused as refused:
                faults.append(f"{precision} for sm_{arch} does not compile:\n{refused}")
                continue
            if log not in warnings:
                warnings.add(log)
                print(log)
            if not kernels:
                faults.append(f"{precision} for sm_{arch} has no kernels")
            for k in kernels:
                rows.append((k.kernel, precision, arch, k))
                where = f"{k.kernel} in {precision} for sm_{arch}"
                if k.stack or k.spilled:
                    faults.append(f"{where} keeps values in local memory: {k.stack} bytes, {k.spilled} of them spilled")
                if k.shared > SHARED_LIMIT:
                    faults.append(f"{where} needs {k.shared} bytes of shared memory, more than {SHARED_LIMIT}")
    return rows, faults


def check_metal(clang, folder):
    """Compiles for Metal, as far as clang can tell; returns what is wrong."""
    faults = {}
    for precision, elem in (("f32", "float"), ("bf16", "bfloat"), ("f16", "half")):
        text = sources.join(["opencl.h", "metal.h"], precision, folder).replace("#include <metal_stdlib>", "")
        for fault in metal.check(clang, text, elem):
            faults.setdefault(fault, []).append(precision)
    return [f"Metal, {', '.join(precisions)}: {fault}" for fault, precisions in faults.items()]


def table(rows, archs):
    """A row for each kernel and precision, in Markdown."""
    usage = {row[:3]: row[3] for row in rows}
    header = ["kernel", "precision", *(f"sm_{arch}" for arch in archs), "shared memory", "spilled"]
    cells = [header]
    for kernel, precision in sorted({row[:2] for row in rows}, key=lambda row: (row[0], row[1] != "f32")):
        found = {arch: usage.get((kernel, precision, arch)) for arch in archs}
        known = [k for k in found.values() if k]
        registers = [str(k.registers) if k else "" for k in found.values()]
        spilled = max(max(k.stack, k.spilled) for k in known)
        cells.append([f"`{kernel}`", precision, *registers, str(max(k.shared for k in known)), str(spilled)])
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def page(cuda, rows, archs):
    return PAGE.format(date=datetime.date.today(), version=cuda.version(), table=table(rows, archs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuda-home", help="the folder with NVRTC and ptxas")
    parser.add_argument("--arch", type=int, nargs="+", help="compute capabilities; 80, 90 and the newest by default")
    parser.add_argument("--clang", help="the clang to check the text for Metal with")
    parser.add_argument("--write", type=Path, help="a file for the page with the table, in Markdown")
    parser.add_argument("--text", type=Path, default=sources.TEXT, help="the folder of the kernels")
    args = parser.parse_args()
    if not args.cuda_home and not args.clang:
        parser.error("nothing to do: give --cuda-home or --clang")

    faults = sources.misnumbered(args.text)
    if args.cuda_home:
        cuda = Cuda(args.cuda_home)
        archs = args.arch or sorted({80, 90, cuda.newest()})
        rows, found = check_cuda(cuda, archs, args.text)
        faults += found
        print(table(rows, archs))
        if args.write:
            args.write.write_text(page(cuda, rows, archs))
    if args.clang:
        found = check_metal(args.clang, args.text)
        faults += found
        if not found:
            print("Metal: clang finds no fault in f32, bf16 and f16")
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
