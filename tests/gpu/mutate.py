#!/usr/bin/env python3
"""Takes each barrier out of each kernel of the GPU in turn (__syncthreads, __syncwarp, the wait of cp.async) and shows that
a test of that kernel then fails; also that the kernel tests meet every barrier there is. A test that meets a barrier is
found by running each test once; the quickest of them is then run without it, and the next if that one passes.
usage: mutate.py KERNEL_TEST REPOSITORY; exit status 1 if a barrier can go unnoticed"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

BARRIER = re.compile(r"\b(__syncthreads|__syncwarp|simt::copy_async_wait)\(")


def run(test, name, **variables):
    environment = {**os.environ, **variables}
    environment.pop("GTEST_OUTPUT", None)
    command = [test, f"--gtest_filter={name}", "--gtest_fail_fast", "--gtest_brief=1"]
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def tests_of(test):
    listing = subprocess.run([test, "--gtest_list_tests"], capture_output=True, text=True, check=True).stdout
    names, suite = [], ""
    for line in listing.splitlines():
        word = line.split("#")[0].rstrip()
        if word.startswith("  "):
            names.append(suite + word.strip())
        elif word.endswith("."):
            suite = word
    return names


def barriers_in_source(root):
    found = set()
    for path in sorted((root / "engine/ops/cuda").rglob("*.cu*")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if BARRIER.search(line.split("//")[0]):
                found.add(f"{path.name}:{number}")
    return found


def barriers_met(test, name, folder):
    """With every barrier in place, in one interleaving: seconds, and the barriers that were met."""
    file = pathlib.Path(folder) / name.replace("/", "_")
    began = time.monotonic()
    if run(test, name, SIMT_SITES=str(file), SIMT_INTERLEAVINGS="1") != 0:
        sys.exit(f"mutate: {name} fails with every barrier in place")
    return time.monotonic() - began, set(file.read_text().split()) if file.exists() else set()


def noticed_by(test, site, names):
    return next((name for name in names if run(test, name, SIMT_SKIP=site) != 0), None)


def main():
    test, root = sys.argv[1], pathlib.Path(sys.argv[2])
    source = barriers_in_source(root)
    names = tests_of(test)
    met = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        with tempfile.TemporaryDirectory() as folder:
            for name, (seconds, sites) in zip(names, pool.map(lambda n: barriers_met(test, n, folder), names)):
                for site in sites:
                    met.setdefault(site, []).append((seconds, name))
        failures = [f"{site}: no kernel test comes by" for site in sorted(source - met.keys())]
        sites = sorted(source & met.keys())
        candidates = {site: [name for _, name in sorted(met[site])] for site in sites}
        for site, name in zip(sites, pool.map(lambda s: noticed_by(test, s, candidates[s]), sites)):
            if name is None:
                failures.append(f"{site}: nothing fails without this barrier")
            else:
                print(f"{site}: without it {name} fails")
    for failure in failures:
        print(failure)
    print(f"mutate: {len(source)} barriers, {len(failures)} unnoticed")
    return 1 if failures or not source else 0


if __name__ == "__main__":
    sys.exit(main())
