"""What can be said of the Metal text without Apple's compiler: clang reads it as C++ for OpenCL, after opencl.h."""

import json
import re
import subprocess

# Without OpenCL's own functions, so that none of them stands in for one that metal.h lacks.
OPTIONS = ["-x", "clcpp", "-cl-std=clc++1.0", "-cl-no-stdinc", "-target", "spir64", "-fsyntax-only", "-Wall"]
OPTIONS += ["-Wno-unknown-attributes", "-Wno-unused-function", "-Xclang", "-ast-dump=json", "-"]

SHARED_LIMIT = 32 << 10  # of every Mac
SIZES = {"float": 4, "int": 4, "u32": 4, "u64": 8, "u8": 1, "half": 2, "bfloat": 2}
CASTS = {"CStyleCastExpr", "CXXFunctionalCastExpr", "CXXReinterpretCastExpr", "CXXStaticCastExpr"}


class Walk:
    """Looks in clang's syntax tree for what OpenCL allows and Metal does not."""

    def __init__(self, text, elem):
        self.text = text.encode()
        self.sizes = SIZES | {"elem": SIZES[elem]}
        self.file, self.line = "", 0
        self.faults = set()
        self.shared = {}  # bytes of each kernel

    def visit(self, node, parent="", function="", implicit=False):
        kind = node.get("kind", "")
        self.move(node.get("loc", {}))
        self.move(node.get("range", {}).get("begin", {}))
        implicit = implicit or node.get("isImplicit", False)
        function = node.get("name", "") if kind == "FunctionDecl" else function
        if not implicit and self.file not in {"", "opencl.h"}:  # "" is clang itself
            for fault in self.wrong(node, kind, parent):
                self.faults.add((self.file, self.line, fault))
        if kind == "VarDecl":
            self.shared[function] = self.shared.get(function, 0) + self.shared_size(node)
        self.move(node.get("range", {}).get("end", {}))
        for child in node.get("inner", []):
            self.visit(child, kind, function, implicit)

    def move(self, at):
        """Goes to a place. Clang names a file or a line only where it is another than before."""
        for key in ("spellingLoc", "expansionLoc"):
            self.move(at[key]) if key in at else None
        self.file = at.get("presumedFile", at.get("file", self.file))
        self.line = at.get("presumedLine", at.get("line", self.line))

    def wrong(self, node, kind, parent):
        name = node.get("name", "")
        types = list(filter(None, (node.get("type", {}).get(key) for key in ("qualType", "desugaredQualType"))))
        spaces = " ".join(types)
        if kind in {"ParmVarDecl", "VarDecl", "FieldDecl"} | CASTS and "__generic" in spaces:
            yield f"a pointer or reference without an address space: {name or types[0]}"
        if kind == "ParmVarDecl" and "*" in spaces:
            if self.text[node["loc"].get("offset", 0) :].startswith(f"{name}[".encode()):
                yield f"an array as a parameter, which is a pointer without an address space: {name}"
        if kind == "VarDecl" and "__constant" not in spaces:
            if parent in {"TranslationUnitDecl", "NamespaceDecl"} or parent.startswith("CXXRecord"):
                yield f"a variable outside of functions that is not in constant memory: {name}"
            elif node.get("storageClass") == "static" and "__local" not in spaces:
                yield f"a static variable: {name}"
        if kind == "FloatingLiteral" and "double" in types:
            yield "a number of 64 bits: write an f behind it"
        elif kind.endswith("Decl") and re.search(r"\bdouble\b", spaces):
            yield f"a type of 64 bits: {name}"
        if kind == "IntegerLiteral" and "long long" in spaces:
            yield "a long long: the suffix of 64 bits is ul"
        if kind == "LambdaExpr":
            yield "a lambda, which Metal has only since 3.2"

    def shared_size(self, node):
        array = re.match(r"__local (\w+)((?:\[\d+\])+)$", node["type"]["qualType"])
        if not array:
            return 0
        size = self.sizes.get(array[1], 16)
        for extent in re.findall(r"\d+", array[2]):
            size *= int(extent)
        return size


def check(clang, text, elem):
    """What clang finds wrong in `text`."""
    done = subprocess.run([clang, *OPTIONS], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        return [done.stderr.strip()]
    if done.stderr:
        print(done.stderr.strip())
    walk = Walk(text, elem)
    walk.visit(json.loads(done.stdout))
    faults = [f"{file}:{line}: {fault}" for file, line, fault in sorted(walk.faults)]
    for kernel, size in walk.shared.items():
        if size > SHARED_LIMIT:
            faults.append(f"{kernel} needs {size} bytes of shared memory; a Mac has {SHARED_LIMIT}")
    return faults
