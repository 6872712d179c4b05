#!/usr/bin/env python3
"""Runs all kernels in the emulator under AddressSanitizer with UndefinedBehaviorSanitizer, and under ThreadSanitizer.

    python3 sanitize.py [--cxx c++] [--orders 2] [--jobs N]

The emulator checks each access of a kernel itself. Here these checks are off, and the sanitizers have to find what is wrong:
a second opinion on the kernels, and on the checks. Faults are planted, and each must be found by what is said to see it. And
each barrier of the kernels is left out once, which the checks and ThreadSanitizer must find, both.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sources

HERE = Path(__file__).resolve().parent
TRIAL = HERE / "sanitize/trial.cpp"

# The kernels that build.rs builds: types of operands, and matrix units.
VARIANTS = {
    "f32": [],
    "bf16": ["ELEM_BF16"],
    "f32 of Metal": ["METAL"],
    "bf16 of Metal": ["ELEM_BF16", "METAL"],
}

# What is compiled how. Optimization pays off only where a run takes longer than the compiler.
CHECKS, ADDRESS, THREAD = "the emulator's checks", "AddressSanitizer", "ThreadSanitizer"
FLAGS = {
    CHECKS: ["-O0"],
    ADDRESS: ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DUNCHECKED"],
    THREAD: ["-O1", "-fsanitize=thread", "-DUNCHECKED"],
}

# The tests of the crate run the emulator's checks on all variants. Here they are for faults.
CHECKED = ["bf16"]
# Both types of operands, and both matrix units with one of the two. --every-variant tries all of them with both.
SANITIZED = {ADDRESS: ["bf16", "f32 of Metal"], THREAD: ["bf16", "f32"]}

# Who must find the faults of faults.h, and what it says.
UNORDERED, OUTSIDE, RACE = "since the last barrier", "outside of its", "ThreadSanitizer: data race"
FAULTS = {
    "fault_missing_barrier": {CHECKS: "shared warps", THREAD: RACE},
    "fault_second_barrier": {CHECKS: "shared values", THREAD: RACE},
    "fault_missing_simd_barrier": {CHECKS: "shared values", THREAD: RACE},
    "fault_race_across_blocks": {CHECKS: UNORDERED, THREAD: RACE},
    "fault_race_of_blocks_with_barriers": {CHECKS: UNORDERED, THREAD: RACE},
    "fault_read_of_another_block": {CHECKS: UNORDERED, THREAD: RACE},
    "fault_wrong_stride": {CHECKS: OUTSIDE, ADDRESS: "heap-buffer-overflow"},
    "fault_id_out_of_range": {CHECKS: OUTSIDE, ADDRESS: "heap-buffer-overflow"},
    "fault_beyond_registers": {ADDRESS: "index 4 out of bounds"},
    "fault_overflow": {ADDRESS: "signed integer overflow"},
    "fault_divergent_barrier": {CHECKS: "waits at the barrier"},
    "fault_divergent_shuffle": {CHECKS: "the warp's rendezvous"},
    "fault_unwritten": {CHECKS: "before it is written"},
    "fault_too_much_shared_memory": {CHECKS: "48 KiB"},
}
SEEDS = range(2)

PROBE = """\
#include <sanitizer/common_interface_defs.h>
int main() {}
"""


class Program:
    """The trial of a variant, compiled for one of the three."""

    def __init__(self, how, variant, folder):
        self.how, self.variant = how, variant
        self.path = folder / f"{how}-{variant}".replace(" ", "-")

    def build(self, cxx):
        defines = [f"-D{define}" for define in VARIANTS[self.variant]]
        command = [cxx, "-std=c++17", "-g", *FLAGS[self.how], *defines, str(TRIAL), "-o", str(self.path)]
        subprocess.run(command, check=True)

    def run(self, *arguments):
        return start(self.how, [str(self.path), *map(str, arguments)])


def start(how, command):
    # Older versions of ThreadSanitizer only know the addresses that Linux gives out in order.
    if how == THREAD and shutil.which("setarch"):
        command = ["setarch", "-R", *command]
    env = os.environ | {
        "ASAN_OPTIONS": "detect_stack_use_after_return=0",
        "TSAN_OPTIONS": "halt_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def missing(how, cxx, folder):
    """Whether programs with this sanitizer cannot be built and run here."""
    probe = folder / "probe"
    command = [cxx, *FLAGS[how], "-x", "c++", "-", "-o", str(probe)]
    built = subprocess.run(command, input=PROBE, text=True, capture_output=True, check=False)
    return built.returncode != 0 or start(how, [str(probe)]).returncode != 0


def barriers():
    """Where the barriers of kernels are, such as "sum.h:8"."""
    for path in sources.files("kernels.h", sources.TEXT, set()):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\bBARRIER\(\)|\bSIMD_BARRIER\(\)", line.split("//")[0]):
                yield f"{path.name}:{number}"


def clean(program, orders):
    """Runs all kernels; returns what is wrong."""
    done = program.run(orders)
    print(f"{program.how}, {program.variant}: {done.stdout.strip() or 'failed'}", flush=True)
    if done.returncode or done.stderr:
        return [f"{program.how} finds in the kernels of {program.variant}:\n{done.stderr}"]
    return []


def planted(programs):
    """Runs the kernels with faults; returns what is wrong."""
    names = next(iter(programs.values())).run().stdout.split()
    names = {name for name in names if name.startswith("fault_")}
    for name in sorted(names ^ FAULTS.keys()):
        yield f"{name} is a kernel with a fault or is in FAULTS, not both"
    found = 0
    for name in sorted(names & FAULTS.keys()):
        for how, words in FAULTS[name].items():
            if how not in programs:
                continue
            for seed in SEEDS:
                done = programs[how].run(seed, name)
                found += 1
                if done.returncode == 0 or words not in done.stderr or name not in done.stderr:
                    yield f'{how} does not say "{words}" of {name} with seed {seed}:\n{done.stderr}'
    print(f"{len(names)} planted faults: looked for {found} times", flush=True)


def left_out(program, places):
    """Runs all kernels without each of the barriers; returns what is wrong."""
    for place in places:
        done = program.run(1, place)
        if done.returncode == 0 or ("emulator: kernel" not in done.stderr and RACE not in done.stderr):
            yield f"{program.how}, {program.variant}: no fault without the barrier of {place}\n{done.stderr}"
    print(f"{program.how}, {program.variant}: {len(places)} barriers, left out one at a time", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cxx", default="c++", help="a C++ compiler for this machine")
    parser.add_argument("--orders", type=int, default=2, help="orders of the threads for AddressSanitizer")
    parser.add_argument("--every-variant", action="store_true", help="all types and matrix units with each sanitizer")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="programs at the same time")
    args = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.jobs) as pool:
        folder = Path(folder)
        hows = [CHECKS]
        for how in (ADDRESS, THREAD):
            if missing(how, args.cxx, folder):
                print(f"skipped {how}: {args.cxx} cannot build programs with it that run here", flush=True)
            else:
                hows.append(how)
        usual = {CHECKS: CHECKED, **SANITIZED}
        variants = {how: VARIANTS if args.every_variant and how != CHECKS else usual[how] for how in hows}
        programs = [Program(how, variant, folder) for how in hows for variant in variants[how]]
        list(pool.map(lambda program: program.build(args.cxx), programs))
        # The order makes no difference to ThreadSanitizer, if not to what it forgets.
        orders = {CHECKS: 1, ADDRESS: args.orders, THREAD: 1}
        for found in pool.map(lambda program: clean(program, orders[program.how]), programs):
            faults += found
        of_bf16 = {program.how: program for program in programs if program.variant == "bf16"}
        faults += planted(of_bf16)
        places = list(barriers())
        tries = [of_bf16[how] for how in (CHECKS, THREAD) if how in of_bf16]
        for found in pool.map(lambda program: list(left_out(program, places)), tries):
            faults += found
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
