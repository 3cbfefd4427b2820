#!/usr/bin/env python3
"""Takes each barrier out of each kernel of the GPU in turn (__syncthreads, __syncwarp, the wait of cp.async) and shows that
a test of that kernel then fails; also that the kernel tests meet every barrier there is.
usage: mutate.py KERNEL_TEST REPOSITORY; exit status 1 if a barrier can go unnoticed"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SUITES = ["GpuRows*", "GpuRope*:GpuCopy*", "*GpuSkinny*", "*GpuAttention*", "GpuSampler*"]
BARRIER = re.compile(r"\b(__syncthreads|__syncwarp|simt::copy_async_wait)\(")


def run(test, suite, **variables):
    environment = {**os.environ, **variables}
    environment.pop("GTEST_OUTPUT", None)
    command = [test, f"--gtest_filter={suite}", "--gtest_fail_fast", "--gtest_brief=1"]
    return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def barriers_in_source(root):
    found = set()
    for path in sorted((root / "engine/ops/cuda").rglob("*.cu*")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if BARRIER.search(line.split("//")[0]):
                found.add(f"{path.name}:{number}")
    return found


def barriers_met(test, suite, folder):
    file = pathlib.Path(folder) / "sites"
    if run(test, suite, SIMT_SITES=str(file)) != 0:
        sys.exit(f"mutate: {suite} fails with every barrier in place")
    return set(file.read_text().split())


def noticed_by(test, site, suites):
    return next((suite for suite in suites if run(test, suite, SIMT_SKIP=site) != 0), None)


def main():
    test, root = sys.argv[1], pathlib.Path(sys.argv[2])
    source = barriers_in_source(root)
    met = {}
    with tempfile.TemporaryDirectory() as folder:
        for suite in SUITES:
            for site in barriers_met(test, suite, folder):
                met.setdefault(site, []).append(suite)
    failures = [f"{site}: no kernel test comes by" for site in sorted(source - met.keys())]
    sites = sorted(source & met.keys())
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        for site, suite in zip(sites, pool.map(lambda s: noticed_by(test, s, met[s]), sites)):
            if suite is None:
                failures.append(f"{site}: nothing fails without this barrier")
            else:
                print(f"{site}: without it {suite} fails")
    for failure in failures:
        print(failure)
    print(f"mutate: {len(source)} barriers, {len(failures)} unnoticed")
    return 1 if failures or not source else 0


if __name__ == "__main__":
    sys.exit(main())
