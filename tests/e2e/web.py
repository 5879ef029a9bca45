#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP of modules, both ways: procedures ask a server that is slow, chunked, redirecting, huge, lying or gone; handlers
answer clients.

    tests/e2e/web.py [--flavor dev]       last line: N passed, N failed
"""

import argparse
import gzip
import http.client
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from host import ROOT, Host  # noqa: E402

REFUSED = "refusing to connect to private or special-purpose addresses"
HUGE = 20_000_000


BROTLI = bytes.fromhex("8b038068656c6c6f20776f03")  # "hello wo"
BOMB = gzip.compress(bytes(300 << 20), 1)
RAW = {
    "rubbish": b"\x16\x03\x01 this is not HTTP\r\n\r\n",
    "status": b"HTTP/1.1 9999999999 no\r\n\r\n",
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx",
    "negative": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx",
    "nothing": b"",
}
ENDLESS = {
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"e" * 65536),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"h" * 1000 + b"\r\n"),
    "line": (b"HTTP/1.1 200 OK\r\nx-line: ", b"l" * 65536),
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


class Server(BaseHTTPRequestHandler):
    """What others are like."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        length = int(self.headers.get("Content-Length", 0))
        sent = self.rfile.read(length)
        path, _, rest = self.path[1:].partition("/")
        if path == "echo":
            lines = [f"{self.command} {self.path}"] + [f"{k.lower()}: {v}" for k, v in self.headers.items()]
            self.answer(200, "\n".join(lines).encode() + b"\n\n" + sent, X_Seen="yes")
        elif path == "status":
            self.answer(int(rest), b"as told")
        elif path == "redirect":
            left = int(rest)
            self.answer(302, b"elsewhere", Location=f"/redirect/{left - 1}" if left > 1 else "/echo")
        elif path == "away":
            self.answer(302, Location="http://10.0.0.1:80/")
        elif path == "slow":
            time.sleep(float(rest))
            self.answer(200, b"at last")
        elif path == "huge":
            self.answer(200, b"h" * HUGE)
        elif path == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (b"in ", b"three ", b"parts"):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        elif path == "packed":
            encoding, _, what = rest.partition("/")
            body = {"gzip": gzip.compress(b"unpacked" * 1000), "br": BROTLI, "bomb": BOMB, "none": b"plain",
                    "cut": gzip.compress(b"unpacked" * 1000),
                    "two": gzip.compress(b"unpacked" * 500) + gzip.compress(b"unpacked" * 500)}.get(what, b"rubbish")
            self.answer(200, body[:-9] if what == "cut" else body, Content_Encoding=encoding)
        elif path == "raw":
            self.wfile.write(RAW[rest])
            self.wfile.flush()
            self.close_connection = True
        elif path == "endless":
            self.close_connection = True
            self.wfile.write(ENDLESS[rest][0])
            try:
                while True:
                    self.wfile.write(ENDLESS[rest][1])
            except OSError:
                pass
        elif path == "drip":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            try:
                while True:
                    self.wfile.write(b"d")
                    time.sleep(0.05)
            except OSError:
                pass
        elif path == "early":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"not all")
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.answer(404)

    do_GET = do_POST = do_PUT = do_HEAD = do_PATCH = do_DELETE = do_OPTIONS = do_BREW = handle_any


class Test:
    def __init__(self, flavor, config):
        self.host = Host(flavor, start_seconds=120)
        with open(os.path.join(self.host.data_dir, "config.toml"), "w") as f:
            f.write(config)
        self.passed, self.failures = 0, []

    def __enter__(self):
        self.host.start()
        self.token = json.loads(self.host.request("POST", "/v1/identity")[1])["token"]
        with open(os.path.join(ROOT, "build", "modules", "web.wasm"), "rb") as f:
            status, answer = self.host.request("PUT", "/v1/database/web", f.read(), self.token, "application/wasm")
        assert status == 200, answer
        return self

    def __exit__(self, *exc):
        ended = self.host.stop(seconds=120) if self.host.alive() else "before its time"
        log = self.host.log()
        self.check("the host's end", ended == 0 and "ERROR: " not in log, f"{ended}\n{log[-4000:]}")
        self.host.__exit__(*exc)

    def check(self, what, ok, got=""):
        self.passed += bool(ok)
        if not ok:
            self.failures.append(f"{what}: {str(got)[:1500]}")

    def equal(self, what, got, wanted):
        self.check(what, got == wanted, f"{got!r}, not {wanted!r}")

    def call(self, function, *args):
        status, answer = self.host.request("POST", f"/v1/database/web/call/{function}", json.dumps(args).encode(),
                                           self.token, "application/json")
        return status, json.loads(answer) if status == 200 else answer.decode()

    def ask(self, method, url, headers=(), body="", ms=0):
        """{status, headers, body, length, error} of what the procedure got."""
        status, answer = self.call("ask", method, url, list(headers), body, ms)
        assert status == 200, answer
        return dict(zip(("status", "headers", "body", "length", "error"), answer))

    def sql(self, text):
        status, answer = self.host.request("POST", "/v1/database/web/sql", text.encode(), self.token)
        assert status == 200, answer
        return json.loads(answer)[0]["rows"]

    def route(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.host.port, timeout=60)
        connection.request(method, f"/v1/database/web/route{path}", body, headers or {})
        answer = connection.getresponse()
        found = answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), answer.read()
        connection.close()
        return found


def asking(test, url):
    got = test.ask("GET", url + "/echo/a?b=c")
    test.equal("GET", (got["status"], got["body"].split("\n")[0], got["error"]), (200, "GET /echo/a?b=c", ""))
    test.check("the answer's headers", "x-seen: yes" in got["headers"], got["headers"])
    for method in ("POST", "PUT", "PATCH", "DELETE", "BREW"):
        got = test.ask(method, url + "/echo", ["x-mine: 1", "content-type: text/own"], "a body")
        lines = got["body"].split("\n")
        test.equal(f"{method} and its body", (got["status"], lines[0], lines[-1]), (200, f"{method} /echo", "a body"))
        test.check(f"{method} and its headers", "x-mine: 1" in lines and "content-type: text/own" in lines and
                   not any(line.startswith(("accept:", "expect:", "user-agent:")) for line in lines), lines)
    got = test.ask("HEAD", url + "/echo")
    test.equal("HEAD", (got["status"], got["length"], got["error"]), (200, 0, ""))
    for status in (204, 418, 500):
        got = test.ask("GET", f"{url}/status/{status}")
        test.equal(f"status {status} is an answer", (got["status"], got["error"]), (status, ""))
    got = test.ask("GET", url + "/chunked")
    test.equal("chunks", (got["status"], got["body"]), (200, "in three parts"))
    got = test.ask("GET", url + "/redirect/5")
    test.equal("five redirects", (got["status"], got["body"].split("\n")[0]), (200, "GET /echo"))
    test.check("eleven redirects", test.ask("GET", url + "/redirect/12")["error"] != "")
    got = test.ask("GET", url + "/huge")
    test.equal("a large body", (got["status"], got["length"]), (200, HUGE))
    test.check("a body that ends early", test.ask("GET", url + "/early")["error"] != "")
    begun = time.time()
    got = test.ask("GET", url + "/slow/20", ms=300)
    test.check("a timeout", "timed out" in got["error"] and time.time() - begun < 10, (got, time.time() - begun))
    got = test.ask("GET", url + "/slow/11")
    test.equal("longer than a reducer may run", (got["status"], got["body"], got["error"]), (200, "at last", ""))
    got = test.ask("GET", url.rsplit(":", 1)[0] + ":1/?secret=x")
    test.check("nobody there", got["error"] != "" and "secret" not in got["error"], got)
    for target in ("/away",):
        test.check("a redirect to a private address", REFUSED in test.ask("GET", url + target)["error"])
    for address in ("10.0.0.1", "192.168.1.1", "169.254.169.254", "[fe80::1]", "[::ffff:10.0.0.1]", "0.0.0.0"):
        got = test.ask("GET", f"http://{address}/", ms=2000)
        test.check(f"{address} is refused", REFUSED in got["error"], got)
    test.check("another scheme", test.ask("GET", "ftp://127.0.0.1/x")["error"] != "")
    status, answer = test.call("ask_within", url + "/status/200")
    test.equal("behind a transaction", (status, answer), (200, "200 as told"))
    test.equal("what it committed", test.sql("SELECT COUNT(*) AS n FROM visit"), [[1]])


def packed(test, url):
    """What comes compressed: asked for unless the module asks itself, unpacked either way."""
    lines = test.ask("GET", url + "/echo")["body"].split("\n")
    test.check("compression is asked for", "accept-encoding: gzip, br" in lines, lines)
    lines = test.ask("GET", url + "/echo", ["accept-encoding: own"])["body"].split("\n")
    test.equal("… unless the module does", [line for line in lines if line.startswith("accept-enc")],
               ["accept-encoding: own"])
    for what, length in (("gzip/gzip", 8000), ("gzip/two", 8000), ("br/br", 8)):
        for headers in ((), ("accept-encoding: identity",)):
            got = test.ask("GET", f"{url}/packed/{what}", headers)
            test.equal(f"{what} {headers}", (got["length"], got["error"]), (length, ""))
            test.check("… without what said so", not any(header.startswith(("content-encoding", "content-length"))
                                                         for header in got["headers"]), got["headers"])
    got = test.ask("GET", url + "/packed/deflate/none")
    test.check("an encoding that nobody asked for is left as it is", got["body"] == "plain" and
               "content-encoding: deflate" in got["headers"], got)
    for what in ("gzip/rubbish", "br/rubbish", "gzip/cut", "gzip/none"):
        got = test.ask("GET", f"{url}/packed/{what}")
        test.check(f"{what} is refused", "decoding" in got["error"], got)
    got = test.ask("GET", url + "/packed/gzip/bomb")
    test.check("300 MiB in 300 KB", "larger than" in got["error"], got)


def lying(test, url):
    """Servers that do not mean it: an error each, soon, and the host goes on."""
    for what in RAW:
        got = test.ask("GET", f"{url}/raw/{what}", ms=20000)
        test.check(f"an answer of {what}", got["error"] != "" or what == "length", got)
    for what in ENDLESS:
        begun = time.time()
        got = test.ask("GET", f"{url}/endless/{what}", ms=30000)
        test.check(f"endless {what}", got["error"] != "" and time.time() - begun < 60, (got, time.time() - begun))
    begun = time.time()
    got = test.ask("GET", url + "/drip", ms=1000)
    test.check("a byte now and then", "timed out" in got["error"] and time.time() - begun < 20, got)
    test.equal("the host goes on", test.ask("GET", url + "/status/200")["status"], 200)


def many(test, url):
    """Procedures that wait hold nobody up."""
    def one():
        got = test.ask("GET", url + "/slow/2")
        test.check("one of many", got["body"] == "at last", got)
    threads = [threading.Thread(target=one) for _ in range(24)]
    begun = time.time()
    for thread in threads:
        thread.start()
    slowest = 0
    while any(thread.is_alive() for thread in threads):
        before = time.time()
        test.sql("SELECT COUNT(*) AS n FROM visit")
        slowest = max(slowest, time.time() - before)
        time.sleep(0.02)
    test.check("twenty-four at once", time.time() - begun < 20, time.time() - begun)
    test.check("SQL meanwhile", slowest < 1.5, slowest)


def answering(test):
    status, headers, body = test.route("POST", "/echo?x=1&y", b"sent", {"X-Own": "v", "Authorization": "whatever"})
    lines = body.decode().split("\n")
    host = f"127.0.0.1:{test.host.port}"
    test.equal("status and headers", (status, headers["x-made-by"], headers["content-type"],
                                      headers["access-control-allow-origin"]), (203, "echo", "text/echo", "*"))
    test.equal("what a handler sees", (lines[0], lines[-1]),
               (f"POST http://{host}/v1/database/web/route/echo?x=1&y HTTP/1.1", "sent"))
    test.check("its headers", "x-own: v" in lines and "authorization: whatever" in lines, lines)
    lines = test.route("GET", "/echo", None, {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example, b"})[2]
    test.check("behind a proxy", lines.startswith(b"GET https://a.example/v1/database/web/route/echo "), lines[:100])
    test.equal("another method", test.route("PUT", "/echo", b"")[::2],
               (404, b"Database has not registered a handler for this route"))
    for method in ("PUT", "DELETE", "BREW"):
        test.check(f"any method: {method}", test.route(method, "/any", b"x")[2].startswith(method.encode()))
    status, _, body = test.route("GET", "/fail")
    test.check("a handler that panics", status == 500 and b"wasm backtrace" in body, (status, body[:200]))
    before = test.sql("SELECT COUNT(*) AS n FROM visit")[0][0]
    ids = {int(test.route("POST", "/note", f"note {i}".encode())[2]) for i in range(20)}
    test.equal("a handler's transactions", (len(ids), test.sql("SELECT COUNT(*) AS n FROM visit")[0][0]),
               (20, before + 20))
    status, headers, body = test.route("GET", "/large?30000000")
    test.equal("a large answer", (status, len(body), headers["content-length"]), (200, 30_000_000, "30000000"))
    status, _, body = test.route("POST", "/any", b"y" * 10_000_000)
    test.equal("a large request", (status, body[-5:]), (203, b"yyyyy"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--flavor", default="dev")
    options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.handle_error = lambda *_: None  # whoever asked hangs up on those that lie
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    tests = []
    with Test(options.flavor, "[module-http]\nallow-loopback = true\n") as test:
        tests.append(test)
        asking(test, url)
        packed(test, url)
        lying(test, url)
        many(test, url)
        answering(test)
    with Test(options.flavor, "") as test:
        tests.append(test)
        for address in (url, "http://localhost:1/", "http://[::1]:1/"):
            got = test.ask("GET", address)
            test.check(f"{address} is refused", REFUSED in got["error"], got)
    with Test(options.flavor, "[module-http]\nenabled = false\n") as test:
        tests.append(test)
        got = test.ask("GET", url)
        test.equal("switched off", got["error"], "module outbound HTTP requests are disabled")
    failures = [failure for test in tests for failure in test.failures]
    for failure in failures:
        print(f"  FAIL {failure}")
    print(f"{sum(test.passed for test in tests)} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
