# SPDX-License-Identifier: Apache-2.0
"""Runs the examples of docs/sql.md against a host with the sample module: every statement gives the rows below it.

    python3 tests/e2e/docs.py       last line: N passed, N failed
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from host import ROOT, Host  # noqa: E402

PEOPLE = ("Ada", "Bob", "Cyd", "Bob")


def examples(path):
    """(line, statement, rows as written) of each ```sql block."""
    found, inside = [], False
    with open(path) as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line.startswith("```"):
                inside = line == "```sql"
            elif inside and line.startswith("-- "):
                found[-1][2].append(line[3:])
            elif inside:
                found.append((number, line, []))
    return found


def main():
    passed = failed = 0
    path = os.path.join(ROOT, "docs", "sql.md")
    with Host(os.environ.get("WORLDLINE_FLAVOR", "dev")) as host:
        token = json.loads(host.request("POST", "/v1/identity")[1])["token"]
        with open(os.path.join(ROOT, "build", "modules", "quickstart.wasm"), "rb") as f:
            published = host.request("PUT", "/v1/database/examples", f.read(), token, "application/wasm")
        for name in PEOPLE:
            host.request("POST", "/v1/database/examples/call/add", json.dumps([name]).encode(), token,
                         "application/json")
        for line, statement, wanted in examples(path):
            answer = host.request("POST", "/v1/database/examples/sql", statement.encode(), token)[1].decode()
            try:
                got = [json.dumps(row) for row in json.loads(answer)[0]["rows"]]
            except (ValueError, KeyError, IndexError):
                got = [answer]
            if got == wanted:
                passed += 1
                continue
            failed += 1
            print(f"docs/sql.md:{line}: {statement}\n  says  " + "\n        ".join(wanted) +
                  "\n  gives " + "\n        ".join(got))
    if passed == 0:
        failed += 1
        print(f"no example passed; publishing said: {published}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
