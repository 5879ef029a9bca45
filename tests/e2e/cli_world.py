# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command line stand on: people with homes of their own, a host played by Python, comparisons."""

import base64
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from host import ROOT  # noqa: E402

FLAVOR = os.environ.get("WORLDLINE_FLAVOR", "dev")
BINARY = os.path.join(ROOT, "build", FLAVOR, "worldline")
MODULES = os.path.join(ROOT, "build", "modules")
UNSTABLE = "WARNING: This command is UNSTABLE and subject to breaking changes.\n\n"
HEX = "[0-9a-f]{64}"


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class User:
    """Somebody with a home of their own: cli.toml, token, current folder."""

    def __init__(self, url=None):
        self.home = tempfile.mkdtemp(prefix="worldline-cli-")
        self.cwd = os.path.join(self.home, "here")
        os.mkdir(self.cwd)
        self.config = os.path.join(self.home, "config", "spacetime", "cli.toml")
        if url:
            self.write_config(f'default_server = "test"\n\n[[server_configs]]\nnickname = "test"\n'
                              f'host = "{url.split("://")[1]}"\nprotocol = "http"\n')

    def write_config(self, text):
        os.makedirs(os.path.dirname(self.config), exist_ok=True)
        with open(self.config, "w") as f:
            f.write(text)

    def read_config(self):
        with open(self.config) as f:
            return f.read()

    def environment(self, more=()):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "SPACETIME", "NO_COLOR"))}
        env.update(HOME=self.home, XDG_CONFIG_HOME=os.path.join(self.home, "config"),
                   XDG_DATA_HOME=os.path.join(self.home, "data"))
        env.update(dict(more))
        return env

    def start(self, *args):
        return subprocess.Popen([BINARY, *args], cwd=self.cwd, env=self.environment(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *args, stdin="", env=(), program=BINARY):
        done = subprocess.run([program, *args], cwd=self.cwd, env=self.environment(env), input=stdin, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *args, **kwargs):
        result = self.run(*args, **kwargs)
        assert result.status == 0, f"{args}: {result}"
        return result

    def fails(self, *args, status=1, **kwargs):
        result = self.run(*args, **kwargs)
        assert result.status == status, f"{args}: {result}"
        return result

    def sql(self, database, text):
        return self.ok("sql", database, text).out

    def remove(self):
        shutil.rmtree(self.home, ignore_errors=True)


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"found:\n{found}\nwanted:\n{wanted}\n({found!r}\n {wanted!r})")


def holds(text, part):
    assert part in text, f"{part!r} is not in:\n{text}"


def matches(text, pattern):
    found = re.fullmatch(pattern, text, re.S)
    assert found, f"{pattern!r} does not match:\n{text}"
    return found


def trimmed(text):
    return "\n".join(line.rstrip() for line in text.split("\n"))


SCRIPT = 0  # in place of a status: the body is a list of answers


class Fake:
    """A server that answers from a table {(method, path without query): (status, type, body)} and keeps what came."""

    def __init__(self, answers):
        self.requests = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                fake.requests.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
                status, kind, body = answers.get((self.command, self.path.split("?")[0]), (404, "text/plain",
                    "nothing"))
                if status == SCRIPT:  # one answer after the other
                    status, kind, body = body.pop(0)
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                if kind:
                    self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def asked(self, method, part):
        return [r for r in self.requests if r[0] == method and part in r[1]]


def token_of(claims):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    return f"{part({'typ': 'JWT', 'alg': 'ES256'})}.{part(claims)}.c2ln"


ALICE = "c20035600353a2e93544d898c6ed0eac323e200c0468300f22958f8b472a265d"  # localhost|alice
ALICE_TOKEN = token_of({"iss": "localhost", "sub": "alice", "iat": 1})
JSON = "application/json"


class World:
    """What all tests share: one host with two databases, and their owner."""

    def __init__(self, host):
        self.host = host
        self.owner = User(host.url)
        self.wasm = os.path.join(MODULES, "quickstart.wasm")
        self.types_wasm = os.path.join(MODULES, "types283.wasm")
        for name, wasm in (("people", self.wasm), ("types", self.types_wasm)):
            out = self.owner.ok("publish", "-b", wasm, "--yes", name).out
            setattr(self, name, re.search(f"identity: ({HEX})$", out, re.M).group(1))
        self.count = 0

    def fresh(self, wasm=None):
        """A database of its own: (name, identity)."""
        self.count += 1
        name = f"fresh-{self.count}"
        out = self.owner.ok("publish", "-b", wasm or self.wasm, "--yes", name).out
        return name, re.search(f"identity: ({HEX})$", out, re.M).group(1)


def logged_in():
    user = User()
    user.ok("login", "--token", ALICE_TOKEN)
    return user
