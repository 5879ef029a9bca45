# SPDX-License-Identifier: Apache-2.0
"""What suites against one real host share: counting, requests as one user, the command line and the last line."""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from host import Host  # noqa: E402


class Suite:
    """A host that is not started yet, and counts; `run` is the suite's own."""

    def __init__(self, flavor):
        self.host, self.token, self.passed, self.failed = Host(flavor), None, 0, 0

    def check(self, what, ok, detail=""):
        self.passed, self.failed = self.passed + bool(ok), self.failed + (not ok)
        if not ok:
            print(f"  {what}: {detail}", flush=True)

    def equal(self, what, got, expected):
        self.check(what, got == expected, f"\n    got      {got!r}\n    expected {expected!r}")

    def log_in(self):
        """A new user, who asks from now on."""
        self.token = json.loads(self.host.request("POST", "/v1/identity")[1])["token"]

    def request(self, method, path, body=b""):
        """(status, text)"""
        kind = "application/json" if "/call/" in path else "text/plain"
        status, answer = self.host.request(method, path, body, self.token, kind)[:2]
        return status, answer.decode()


def main(suite, doc):
    """For `if __name__ == "__main__"`: the exit status."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--flavor", default="dev")
    one = suite(parser.parse_args().flavor)
    one.run()
    print(f"{one.passed} passed, {one.failed} failed")
    return 1 if one.failed else 0
