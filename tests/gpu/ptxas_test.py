#!/usr/bin/env python3
"""Compiles every kernel with nvcc and reads what ptxas reports: no warning of any compiler, no spilled register, and no
stack in any kernel but the table of rotations (whose cosine is exact for large angles).
usage: ptxas_test.py REPOSITORY BUILD_FOLDER [ARCHITECTURE…]; sm_90a by default, which takes a third of the time of all
three that are built (sm_80 sm_89 sm_90a: tests/gpu/run --build-only); exit status 77 where there is no nvcc"""
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys

DEFAULT = ["sm_90a"]
STACK_ALLOWED = re.compile(r"rope_table_kernel")
ENTRY = re.compile(r"Compiling entry function '(\w+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")


def compile_one(job):
    root, out, source, architecture = job
    launcher = [shutil.which("ccache")] if shutil.which("ccache") else []
    command = [*launcher, "nvcc", "-std=c++20", f"-arch={architecture}", f"-I{root}", "-O3", "-c", str(source), "-o",
               str(out / f"{source.stem}.{architecture}.o"), "-Xptxas=-v", "-Xcompiler=-Wall,-Wextra"]
    return source, architecture, subprocess.run(command, capture_output=True, text=True)


def faults_of(source, architecture, result):
    text = result.stdout + result.stderr
    where = f"{source.name} for {architecture}"
    if result.returncode != 0:
        return [f"{where}: does not compile\n{text}"], 0, 0
    faults = [f"{where}: {line}" for line in text.splitlines() if re.search(r"\bwarning\b", line)]
    kernel, kernels, registers = "?", 0, 0
    for line in text.splitlines():
        if entry := ENTRY.search(line):
            kernel, kernels = entry[1], kernels + 1
        if used := USED.search(line):
            registers = max(registers, int(used[1]))
        frame = FRAME.search(line)
        if frame is None:
            continue
        if frame[2] != "0" or frame[3] != "0":
            faults.append(f"{where}: {kernel} spills: {line.strip()}")
        elif frame[1] != "0" and not STACK_ALLOWED.search(kernel):
            faults.append(f"{where}: {kernel} uses the stack: {line.strip()}")
    if kernels == 0:
        faults.append(f"{where}: ptxas reports no kernel")
    return faults, kernels, registers


def main():
    if shutil.which("nvcc") is None:
        print("ptxas: no nvcc here")
        return 77
    root, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    sources = sorted((root / "engine/ops/cuda").glob("*.cu"))
    jobs = [(root, out, source, a) for source in sources for a in sys.argv[3:] or DEFAULT]
    failures, kernels, registers = [], 0, 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for source, architecture, result in pool.map(compile_one, jobs):
            faults, count, most = faults_of(source, architecture, result)
            failures += faults
            kernels += count
            registers = max(registers, most)
    for failure in failures:
        print(failure)
    print(f"ptxas: {kernels} kernels in {len(jobs)} compilations, at most {registers} registers, {len(failures)} faults")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
