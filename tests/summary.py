#!/usr/bin/env python3
"""Adds up the JUnit files that the test binaries and pytest wrote. A ctest entry that failed without a failing case in a
file of its own (a crash, a time-out) counts as one failed. Last line: N passed, N failed, N skipped."""
import pathlib
import sys
import xml.etree.ElementTree as xml


def cases(path):
    """(passed, failed, skipped) of one JUnit file."""
    passed = failed = skipped = 0
    for case in xml.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None or case.get("result") == "skipped" or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def main():
    reports = pathlib.Path(sys.argv[1])
    total = [0, 0, 0]
    for summary in sorted(reports.glob("*.ctest.xml")):
        details = reports / summary.name.removesuffix(".ctest.xml")
        for case in xml.parse(summary).getroot().iter("testcase"):
            file = details / f"{case.get('name')}.xml"
            counts = (0, 0, 0)
            try:
                counts = cases(file)
            except (OSError, xml.ParseError):
                pass
            bad = case.find("failure") is not None or case.get("status") == "fail"
            if bad and counts[1] == 0:
                counts = (counts[0], 1, counts[2])
            if sum(counts) == 0:
                counts = (1, 0, 0)
            total = [a + b for a, b in zip(total, counts)]
            if counts[2]:
                print(f"{case.get('name')}: {counts[2]} skipped")
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main())
