"""NVRTC and ptxas, from NVIDIA's wheels on PyPI. Neither needs a GPU or a driver."""

import ctypes
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path


class Refused(Exception):
    """The message of a compiler."""


@dataclass
class Usage:
    """What ptxas says of a kernel: registers of a thread, and bytes."""

    kernel: str
    registers: int = 0
    shared: int = 0
    stack: int = 0
    spilled: int = 0


def find(home, *patterns):
    """The first file below `home` that has one of the names."""
    for pattern in patterns:
        # The wheel has a second build of each library, ".alt", for other allocators.
        found = sorted(path for path in Path(home).rglob(pattern) if ".alt" not in path.name)
        if found:
            return str(found[0])
    raise SystemExit(f"{home}: has no {patterns[0]}; install the wheels nvidia-cuda-nvrtc and nvidia-cuda-nvcc there")


class Cuda:
    def __init__(self, home):
        # NVRTC opens the other library by name, which works once it is loaded.
        ctypes.CDLL(find(home, "libnvrtc-builtins.so*"), ctypes.RTLD_GLOBAL)
        self.nvrtc = ctypes.CDLL(find(home, "libnvrtc.so*"))
        self.ptxas = find(home, "ptxas")

    def version(self):
        """The version of NVRTC, such as 13.0."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"

    def newest(self):
        """The newest architecture that NVRTC knows, such as 121."""
        count = ctypes.c_int()
        self.nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count))
        archs = (ctypes.c_int * count.value)()
        self.nvrtc.nvrtcGetSupportedArchs(archs)
        return max(archs)

    def _string(self, what, program):
        size = ctypes.c_size_t()
        getattr(self.nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(self.nvrtc, f"nvrtcGet{what}")(program, buffer)
        return buffer.value.decode(errors="replace").strip()

    def ptx(self, text, arch):
        """Compiles `text`; returns PTX and warnings."""
        program = ctypes.c_void_p()
        self.nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None)
        try:
            options = [f"--gpu-architecture=compute_{arch}".encode(), b"--std=c++17"]
            failed = self.nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
            log = self._string("ProgramLog", program)
            if failed:
                raise Refused(log or f"NVRTC failed with {failed}")
            return self._string("PTX", program), log
        finally:
            self.nvrtc.nvrtcDestroyProgram(ctypes.byref(program))

    def usage(self, ptx, arch):
        """Assembles `ptx`; returns the Usage of each kernel."""
        with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
            file.write(ptx)
            file.flush()
            command = [self.ptxas, "-v", f"-arch=sm_{arch}", file.name, "-o", "/dev/null"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(done.stdout + done.stderr)
        return report(done.stdout + done.stderr)


def report(output):
    """Reads what `ptxas -v` prints."""
    kernels = []
    for line in output.splitlines():
        if entry := re.search(r"Compiling entry function '(\w+)'", line):
            kernels.append(Usage(entry[1]))
        elif memory := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            kernels[-1].stack = int(memory[1])
            kernels[-1].spilled = int(memory[2]) + int(memory[3])
        elif used := re.search(r"Used (\d+) registers", line):
            kernels[-1].registers = int(used[1])
            if shared := re.search(r"(\d+) bytes smem", line):
                kernels[-1].shared = int(shared[1])
    return sorted(kernels, key=lambda kernel: kernel.kernel)
