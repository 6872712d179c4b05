#!/usr/bin/env python3
"""Compares fragments.h with what the vendors say of their matrix units.

    python3 fragments.py [--cxx g++]

The emulator cannot see a wrong coordinate: its simulated product uses the same table as the kernels. So the layouts are
written down here a second time, from other sources, and each lane and element is compared.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import sources

# Prints the table of each geometry: "geometry what lane element row col", and the lanes that a reduction combines.
PROGRAM = r"""
#include <cstdio>
#define FN inline
#define THREAD
static int masks;
float fmax_(float a, float b) { return a > b ? a : b; }
float fma_(float a, float b, float c) { return a * b + c; }
float shfl_xor(float v, int mask) { masks |= mask; return v; }
#include "fragments.h"
template <class G> void print(const char* name) {
    std::printf("%s size 0 0 %d %d\n%s size 0 1 %d %d\n", name, int(G::M), int(G::N), name, int(G::K), int(G::ROWS));
    for (int l = 0; l < 32; ++l) {
        for (int e = 0; e < G::AE; ++e) std::printf("%s a %d %d %d %d\n", name, l, e, G::a_row(l, e), G::a_col(l, e));
        for (int e = 0; e < G::BE; ++e) std::printf("%s b %d %d %d %d\n", name, l, e, G::b_row(l, e), G::b_col(l, e));
        for (int e = 0; e < G::CE; ++e) {
            std::printf("%s c %d %d %d %d\n", name, l, e, G::c_row(l, e), G::c_col(l, e));
            std::printf("%s slot %d %d %d %d\n", name, l, e, G::slot(e), G::slot_row(l, G::slot(e)));
        }
        masks = 0;
        G::row_sum(1.f);
        const int sum = masks;
        masks = 0;
        G::row_max(1.f);
        std::printf("%s reduce %d %d %d %d\n", name, l, int(G::first_in_row(l)), sum, masks);
    }
}
int main() {
    print<Mma16816>("Mma16816");
    print<Simd888>("Simd888");
    print<Fma1688>("Fma1688");
}
"""


def mma16816(laneid):
    """PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type", for .bf16."""
    group_id, thread_id_in_group = laneid >> 2, laneid % 4
    a = [
        (
            group_id if 0 <= i < 2 or 4 <= i < 6 else group_id + 8,
            thread_id_in_group * 2 + (i & 0x1) + (0 if i < 4 else 8),
        )
        for i in range(8)
    ]
    b = [(thread_id_in_group * 2 + (i & 0x1) + (0 if i < 2 else 8), group_id) for i in range(4)]
    c = [(group_id if i < 2 else group_id + 8, thread_id_in_group * 2 + (i & 0x1)) for i in range(4)]
    return {"a": a, "b": b, "c": c}


def simd888(lane):
    """The order of thread_elements(), which Apple does not document.

    From `get_coord` of BaseMMAFrag<T, 8, 8> in MLX, mlx/backend/metal/kernels/steel/attn/mma.h.
    """
    qid = lane // 4
    fm = (qid & 4) + (lane // 2) % 4
    fn = (qid & 2) * 2 + (lane % 2) * 2
    elements = [(fm, fn), (fm, fn + 1)]
    return {"a": elements, "b": elements, "c": elements}


# Sizes (M, N, K) and the layout.
EXPECTED = {"Mma16816": ((16, 8, 16), mma16816), "Simd888": ((8, 8, 8), simd888)}


def tables(cxx, folder):
    """The lines of PROGRAM: {geometry: {what: {(lane, element): (row, col)}}}."""
    with tempfile.TemporaryDirectory() as work:
        program = Path(work) / "fragments"
        command = [cxx, "-std=c++17", "-x", "c++", "-", "-I", str(folder), "-o", str(program)]
        subprocess.run(command, input=PROGRAM, text=True, check=True)
        output = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in output.splitlines():
        name, what, lane, element, row, col = line.split()
        found.setdefault(name, {}).setdefault(what, {})[int(lane), int(element)] = (int(row), int(col))
    return found


def compare(name, table):
    """Compares with the vendor's layout."""
    (m, n, k), layout = EXPECTED[name]
    sizes = table["size"][0, 0] + table["size"][0, 1][:1]
    if sizes != (m, n, k):
        yield f"{name} has sizes {sizes}, expected {(m, n, k)}"
    for what in "abc":
        expected = {(lane, e): at for lane in range(32) for e, at in enumerate(layout(lane)[what])}
        if expected.keys() != table[what].keys():
            yield f"{name}: lanes hold another number of elements of {what.upper()}"
        for key in sorted(expected.keys() & table[what].keys()):
            if expected[key] != table[what][key]:
                lane, e = key
                yield f"{name}: {what}{e} of lane {lane} is {table[what][key]}, expected {expected[key]}"


def consistent(name, table):
    """Checks what a geometry says of itself: C is complete, and reductions combine exactly the lanes of a row."""
    m, n = table["size"][0, 0]
    if sorted(table["c"].values()) != [(row, col) for row in range(m) for col in range(n)]:
        yield f"{name}: lanes do not hold each element of C once"
    rows = table["size"][0, 1][1]
    held = [{} for _ in range(32)]
    for (lane, e), (slot, row) in table["slot"].items():
        held[lane][slot] = row
        if row != table["c"][lane, e][0]:
            yield f"{name}: slot_row says {row} of c{e} of lane {lane}, c_row says {table['c'][lane, e][0]}"
    first = {lane: flag for lane, flag in table["reduce"]}
    for lane in range(32):
        mask_sum, mask_max = table["reduce"][lane, first[lane]]
        if sorted(held[lane]) != list(range(rows)):
            yield f"{name}: lane {lane} has the slots {sorted(held[lane])} of {rows}"
        # Exchanges by single bits reach each lane that differs in these bits only.
        same_row = {other for other in range(32) if held[other] == held[lane]}
        for what, mask in (("row_sum", mask_sum), ("row_max", mask_max)):
            if same_row != {other for other in range(32) if (other ^ lane) & ~mask == 0}:
                yield f"{name}: {what} of lane {lane} does not combine the lanes of its row"
        if sum(first[other] for other in same_row) != 1:
            yield f"{name}: not one lane is the first in the row of lane {lane}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cxx", default="g++", help="a C++ compiler for this machine")
    parser.add_argument("--text", type=Path, default=sources.TEXT, help="the folder of the kernels")
    args = parser.parse_args()
    faults = []
    found = tables(args.cxx, args.text)
    for name, table in found.items():
        if name in EXPECTED:
            faults += compare(name, table)
        faults += consistent(name, table)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if not faults:
        count = sum(len(found[name][what]) for name in EXPECTED for what in "abc")
        print(f"fragments: {count} coordinates are those of the vendors")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
