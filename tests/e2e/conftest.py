"""A real `weir serve` on a free port of loopback for each test that asks for one."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from mock_upstream import MockUpstream

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("WEIR_BINARY", ROOT / "build/release/weir"))
DATA = ROOT.parent / "shared/data"
KEY = "sk-test-0123456789abcdef"
ADMIN = "admin-0123456789abcdef"


def pytest_configure(config):
    """tests/run adds up JUnit files; it says where."""
    folder, name = os.environ.get("WEIR_REPORTS"), os.environ.get("WEIR_REPORT_NAME")
    if folder and name:
        config.option.xmlpath = str(pathlib.Path(folder) / f"{name}.xml")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what, seconds=30):
    """Asks again and again; what is waited for has no event of its own on this side of the process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


class Weir:
    def __init__(self, folder, config):
        self.folder = folder
        self.file = folder / "weir.yaml"
        self.db = folder / "weir.db"
        self.port = free_port()
        self.write(config)
        self.start()

    def write(self, config):
        """Replaces the configuration at once, as an editor does."""
        text = f'server: {{listen: "127.0.0.1:{self.port}", threads: 2}}\nstore: {{url: "sqlite:{self.db}"}}\n' + config
        if "\nserver:" in "\n" + config:
            text = f'store: {{url: "sqlite:{self.db}"}}\n' + config.replace("PORT", str(self.port))
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.rename(self.file)

    def start(self):
        self.log = open(self.folder / "weir.log", "ab")
        self.process = subprocess.Popen([BINARY, "serve", "--config", self.file], stdout=self.log, stderr=self.log)
        until(self._up, "weir listens: " + (self.folder / "weir.log").read_text()[-2000:])

    def _up(self):
        assert self.process.poll() is None, (self.folder / "weir.log").read_text()[-3000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, signal_number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        status = self.process.wait(60)
        self.log.close()
        return status

    def request(self, method, path, body=None, headers=None, key=KEY):
        """(status, headers, body bytes)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        fields = {"authorization": f"Bearer {key}"} if key else {}
        fields.update(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            fields.setdefault("content-type", "application/json")
        connection.request(method, path, body, fields)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, data

    def chat(self, model, content="hi there", key=KEY, **fields):
        return self.request("POST", "/v1/chat/completions",
                            {"model": model, "messages": [{"role": "user", "content": content}], **fields}, key=key)

    def metrics(self):
        return self.request("GET", "/metrics", key=None)[2].decode()

    def metric(self, name, **labels):
        """The sum over all series of that name whose labels fit."""
        total = 0.0
        for line in self.metrics().splitlines():
            match = re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line)
            if match and match[1] == name:
                have = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                if all(have.get(k) == v for k, v in labels.items()):
                    total += float(match[3])
        return total

    def rows(self):
        with contextlib.closing(sqlite3.connect(self.db)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute("select * from requests")]

    def events(self, name):
        out = []
        for line in (self.folder / "weir.log").read_text(errors="replace").splitlines():
            if f'"event":"{name}"' in line:
                out.append(json.loads(line))
        return out


@pytest.fixture
def upstream():
    mock = MockUpstream()
    yield mock
    mock.close()


@pytest.fixture
def weir(tmp_path):
    """weir(config) starts one; all are stopped at the end."""
    started = []

    def start(config):
        folder = tmp_path / f"weir{len(started)}"
        folder.mkdir()
        started.append(Weir(folder, config))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            assert one.stop() == 0, (one.folder / "weir.log").read_text()[-3000:]


@pytest.fixture
def standard(upstream):
    """The configuration most tests use: the built-in model, echo, and a mock upstream for each behaviour."""
    behaviours = ["ok", "slow", "veryslow", "hang", "drop", "break", "nousage", "replay",
                  "status400", "status401", "status404", "status429", "status500"]
    accounts = "".join(f"  {b}: {{provider: openai, base_url: \"{upstream.url(b)}\", api_key: sk-upstream-{b}}}\n" for b in behaviours)
    models = "".join(f"  m-{b}: {{targets: [{{account: {b}, model: mock-1}}], timeout: {{first_token: 2s, total: 20s}}}}\n" for b in behaviours)
    return f"""admin_key: {ADMIN}
accounts:
  parrot: {{provider: echo}}
{accounts}engines:
  tiny: {{model: "builtin:weir-tiny"}}
models:
  tiny: {{targets: [{{engine: tiny}}]}}
  echo: {{targets: [{{account: parrot}}]}}
{models}prices:
  tiny: {{input: 0.1, output: 0.2}}
  echo: {{input: 1, output: 2}}
  mock-1: {{input: 0.15, output: 0.60, cached_input: 0.075}}
keys:
  - {{name: test, key: {KEY}, models: ["*"]}}
"""
