# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The hyperblocks authors
# Lets PyPI's CUDA build of PyTorch be imported where no CUDA library is installed: for each one its binaries need, a tiny
# library of the same name is put beside them, whose every function returns cudaErrorNoDevice (100).
import collections
import pathlib
import re
import subprocess
import sysconfig

folder = pathlib.Path(sysconfig.get_path("purelib"), "torch", "lib")
needed = set()                                # file names of CUDA libraries
functions = collections.defaultdict(set)      # symbol version -> names; a library's version is mostly its file name
for binary in folder.glob("*.so*"):
    text = subprocess.run(["readelf", "--wide", "--dynamic", "--dyn-syms", binary],
                          capture_output=True, text=True, check=True).stdout
    needed |= set(re.findall(r"\(NEEDED\).*\[(lib(?:cu|nv|nccl).*)\]", text))
    for name, version in re.findall(r"UND ((?:cu|nv|nccl|__cuda)\w*)(?:@(\S+))?", text):
        functions[version].add(name)

script = folder / "version.map"
for library in sorted(needed):
    version = library if library in functions else "NVSHMEM" if "nvshmem" in library else ""
    labels = "".join(f".globl {name}\n{name}:\n" for name in sorted(functions[version]))
    script.write_text(f"{version} {{ global: *; }};\n")
    subprocess.run(["cc", "-shared", "-nostdlib", "-x", "assembler", "-", "-o", folder / library, f"-Wl,-soname,{library}",
                    f"-Wl,--version-script={script}"], input=f"{labels}mov $100, %eax\nret\n", text=True, check=True)
script.unlink(missing_ok=True)
