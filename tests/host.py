# SPDX-License-Identifier: Apache-2.0
"""A real host process for tests: starts it on a free port and an empty folder, stops, kills and restarts it."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
START_LINE = b"Starting SpacetimeDB listening on"


def free_port(digits=5):
    """A port that nobody listens on; of four digits if some text's length shall be known."""
    candidates = iter([0]) if digits == 5 else iter(random.sample(range(3000, 10000), 200))
    for port in candidates:
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return s.getsockname()[1]
            except OSError:
                continue
    raise RuntimeError("no free port")


class Host:
    """`flavor` names the build; use as a context manager."""

    def __init__(self, flavor="dev", args=(), env=None, data_dir=None, start_seconds=60, port_digits=5):
        self.binary = os.path.join(ROOT, "build", flavor, "worldline")
        self.args = list(args)
        self.env = dict(os.environ, **(env or {}))
        self.own_dir = data_dir is None
        self.data_dir = data_dir or tempfile.mkdtemp(prefix="worldline-test-")
        self.port = free_port(port_digits)
        self.start_seconds = start_seconds
        self.log_path = os.path.join(self.data_dir + "-log.txt")
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def key_file(self):
        return os.path.join(self.data_dir, "keys", "id_ecdsa")

    def start(self):
        keys = os.path.join(self.data_dir, "keys")
        os.makedirs(keys, exist_ok=True)
        command = [self.binary, "start", "--data-dir", self.data_dir, "--jwt-key-dir", keys,
                   "--listen-addr", f"127.0.0.1:{self.port}", "--non-interactive", *self.args]
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
                                        env=self.env)
        started = threading.Event()

        def pump(stream):
            for line in stream:
                log.write(line)
                log.flush()
                if START_LINE in line:
                    started.set()
            started.set()

        threading.Thread(target=pump, args=(self.process.stdout,), daemon=True).start()
        if not started.wait(self.start_seconds) or self.process.poll() is not None:
            self.kill()
            raise RuntimeError(f"the host did not start; its output:\n{self.log()}")
        return self

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode(errors="replace")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, sig=signal.SIGTERM, seconds=60):
        """Ends it; the exit status, negative for a signal."""
        if self.process is None:
            return None
        if self.alive():
            self.process.send_signal(sig)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError("the host did not stop in time")
        return self.process.returncode

    def kill(self):
        return self.stop(signal.SIGKILL)

    def restart(self, sig=signal.SIGTERM):
        self.stop(sig)
        return self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if self.alive():
            self.stop()
        if self.own_dir and exc[0] is None:
            shutil.rmtree(self.data_dir, ignore_errors=True)
            for left in (self.log_path, self.data_dir + "-restart.sock"):
                try:
                    os.remove(left)
                except FileNotFoundError:
                    pass

    def restart_command(self):
        """A shell command that restarts this host on its data and returns when it runs; an argument of KILL or TERM
        says how it ends."""
        path = self.data_dir + "-restart.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(4)

        def serve():
            while True:
                peer, _ = listener.accept()
                with peer:
                    how = peer.recv(16).decode().strip()
                    try:
                        self.restart(signal.SIGKILL if how == "KILL" else signal.SIGTERM)
                        peer.sendall(b"ok")
                    except Exception as error:  # whoever asked shall hear of it
                        peer.sendall(str(error).encode())

        threading.Thread(target=serve, daemon=True).start()
        return f"{sys.executable} {os.path.abspath(__file__)} {path}"

    # ---- a few requests ----

    def request(self, method, path, body=None, token=None, content_type=None):
        """(status, body bytes); HTTP errors are answers here."""
        request = urllib.request.Request(self.url + path, data=body, method=method)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if content_type:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def wait_ready(self, seconds=30):
        deadline = time.time() + seconds
        while time.time() < deadline:
            try:
                if self.request("GET", "/v1/ping")[0] == 200:
                    return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("the host does not answer")


def main():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        s.sendall((sys.argv[2] if len(sys.argv) > 2 else "TERM").encode())
        answer = s.recv(1 << 16).decode()
    if answer != "ok":
        sys.exit(answer)


if __name__ == "__main__":
    main()
