#!/usr/bin/env python3
"""The laws of the house, executed: arrows between folders, file sizes, every test listed, banned words, headers, links.
Prints every offence as FILE:LINE: message; exit status 1 if there is one."""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODE = {".h", ".cpp", ".cu", ".cuh"}
ALLOWED = {  # a folder may include from itself and from these
    "config": {"config"},
    "metrics": {"metrics", "config"},
    "engine": {"engine", "metrics", "config"},
    "providers": {"providers", "engine", "metrics", "config"},
    "gateway": {"gateway", "providers", "engine", "metrics", "config"},
}
LINES_MAX = 600
TEST_LINES_MAX = 800
HEADER_LINES_MAX = 200
FORBIDDEN_INCLUDES = {  # the engine knows no socket and no HTTP; config and metrics neither
    "engine": re.compile(r"<boost/|<openssl/ssl|<sys/socket"),
    "metrics": re.compile(r"<boost/|<sys/socket"),
    "config": re.compile(r"<boost/|<sys/socket"),
}
BANNED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|not (yet )?implemented|\bfor now\b|\bplaceholder\b|\bstub\b", re.IGNORECASE)
REASON_501 = '"Not Implemented"'  # HTTP's own words for the status (RFC 9110 15.6.2)
# Where this checkout lies and where its user is at home: neither means anything elsewhere.
MACHINE = re.compile("|".join(rf"(?<![\w.]){re.escape(str(place))}/" for place in (ROOT, pathlib.Path.home())))

offences = []


def offence(path, line, message):
    offences.append(f"{path.relative_to(ROOT)}:{line}: {message}")


def tracked():
    names = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True,
                           check=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def check_code(path, lines):
    folder = path.relative_to(ROOT).parts[0]
    limit = TEST_LINES_MAX if folder == "tests" else LINES_MAX
    if len(lines) > limit:
        offence(path, len(lines), f"{len(lines)} lines; at most {limit}: split it by idea")
    if path.suffix == ".h":
        if len(lines) > HEADER_LINES_MAX and folder != "tests":
            offence(path, len(lines), f"{len(lines)} lines; a header has at most {HEADER_LINES_MAX}")
        if not any(line == "#pragma once" for line in lines):
            offence(path, 1, "no #pragma once")
        if not lines or not lines[0].startswith("//"):
            offence(path, 1, "a header opens with a paragraph that says what and why")
    if folder not in ALLOWED:
        return
    for number, line in enumerate(lines, 1):
        include = re.match(r'#include "(\w+)/', line)
        if include and include[1] not in ALLOWED[folder]:
            offence(path, number, f"{folder} must not include from {include[1]}: arrows point down")
        if re.match(r'#include "[^/"]+"', line):
            offence(path, number, "include paths start at the repository")
        forbidden = FORBIDDEN_INCLUDES.get(folder)
        if forbidden and line.startswith("#include") and forbidden.search(line):
            offence(path, number, f"{folder} knows no network")


def check_words(path, lines):
    if path == pathlib.Path(__file__).resolve():
        return
    for number, line in enumerate(lines, 1):
        word = BANNED.search(line.replace(REASON_501, ""))
        if word and "docs/decisions" not in str(path):
            offence(path, number, f'the words "{word[0]}" mark unfinished work')
        if MACHINE.search(line):
            offence(path, number, "a path of somebody's machine")


def check_links(path, lines):
    for number, line in enumerate(lines, 1):
        for target in re.findall(r"\]\(([^)#\s]+)", line):
            if "://" not in target and not (path.parent / target).exists():
                offence(path, number, f"the link {target} leads nowhere")


def check_tests_listed(files):
    listed = ""
    for path in files:
        if path.name == "CMakeLists.txt" and "tests" in path.parts:
            listed += path.read_text()
    for path in files:
        name = path.name
        if "tests" in path.relative_to(ROOT).parts and (name.endswith("_test.cpp") or re.match(r"test_.*\.py$", name)):
            if name not in listed:
                offence(path, 1, "this test is in no CMakeLists.txt, so it never runs")


def check_link_lines():
    """The link lines spell the arrows: each library's own target names only what it may."""
    for folder, allowed in ALLOWED.items():
        text = (ROOT / folder / "CMakeLists.txt").read_text()
        for name in set(re.findall(r"\bweir_(config|metrics|engine|providers|gateway)\b", text)):
            if name not in allowed:
                offence(ROOT / folder / "CMakeLists.txt", 1, f"{folder} must not link {name}")


def check_format(files):
    tool = next((t for t in ("clang-format-14", "clang-format") if subprocess.run(["which", t], capture_output=True).returncode == 0), None)
    if tool is None:
        return
    sources = [str(p) for p in files if p.suffix in CODE]
    result = subprocess.run([tool, "--dry-run", "--Werror", "--ferror-limit=1", *sources], capture_output=True, text=True)
    for line in result.stderr.splitlines():
        match = re.match(r"(.*?):(\d+):\d+: error:", line)
        if match:
            offence(pathlib.Path(match[1]), match[2], f"not as {tool} would have it")


def main():
    files = tracked()
    for path in files:
        if path.suffix not in CODE | {".py", ".sh", ".md", ".cmake", ".txt", ".yaml", ".yml", ""} or path.name == "LICENSE":
            continue
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        if path.suffix in CODE:
            check_code(path, lines)
        if path.suffix == ".md":
            check_links(path, lines)
        check_words(path, lines)
    check_tests_listed(files)
    check_link_lines()
    check_format(files)
    for line in offences:
        print(line)
    print(f"tidy: {len(files)} files, {len(offences)} offences")
    return 1 if offences else 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
