# SPDX-License-Identifier: Apache-2.0
"""The command line against a real host, command by command: exit status, standard output and standard error.

    python3 tests/e2e/cli_test.py [WORD ...]      only tests whose name holds one of the words

WORLDLINE_FLAVOR names the build (default dev). What a host does not do by itself (plans of a migration, children of a
database) is played by a small HTTP server here, which also shows what was asked of it. The last line is
`N passed, N failed`.
"""

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from cli_world import (ALICE, ALICE_TOKEN, BINARY, FLAVOR, HEX, JSON, MODULES, SCRIPT, UNSTABLE, Fake, User,
 # noqa: E402
                       World, equal, holds, logged_in, matches, token_of, trimmed)
from host import ROOT, Host, free_port  # noqa: E402

# ---- usage ----

COMMANDS = ["publish", "call", "sql", "subscribe", "logs", "describe", "list", "rename", "lock", "unlock", "delete",
            "login", "logout", "server"]


def test_without_arguments_help_goes_to_stderr(w):
    result = w.owner.fails(status=2)
    equal(result.out, "")
    for command in COMMANDS + ["start", "version"]:
        matches(result.err, f".*\n  {command} +[A-Z].*")


def test_help(w):
    equal(w.owner.ok("--help").out, w.owner.fails(status=2).err)
    for command in COMMANDS:
        out = w.owner.ok(command, "--help").out
        holds(out, f"\nUsage: worldline {command}")
        holds(out, "Print help")
        equal(w.owner.ok("help", command).out, out)
        if command != "server":
            holds(out, "\nExamples:\n  worldline ")
    for command in ("list", "set-default", "add", "remove", "fingerprint", "ping", "edit", "clear"):
        holds(w.owner.ok("server", command, "--help").out, f"Usage: worldline server {command}")
    holds(w.owner.ok("start", "--help").out, "--data-dir")
    holds(" ".join(w.owner.ok("sql", "--help").out.split()), "[possible values: text, json]")


def test_help_needs_no_config(w):
    user = User()
    user.ok("publish", "--help")
    assert not os.path.exists(user.config)
    user.remove()


def test_refused_usage_is_status_2(w):
    for args, text in [
            (["nope"], "error: unrecognized subcommand 'nope'"),
            (["server", "nope"], "error: unrecognized subcommand 'nope'"),
            (["sql", "--nope", "x"], "error: unexpected argument '--nope' found\n\nUsage: worldline sql "),
            (["logs", "-z"], "error: unexpected argument '-z' found"),
            (["logs", "a", "b"], "error: unexpected argument 'b' found"),
            (["logs", "x", "-n", "many"],
            "error: invalid value 'many' for '--num-lines <NUM_LINES>': invalid digit found in "
             "string\n\nFor more information, try '--help'.\n"),
            (["logs", "x", "-n", "4294967296"], "number too large to fit in target type"),
            (["logs", "x", "--level-exact"], "the following required arguments were not provided:\n  --level <LEVEL>"),
            (["logs", "x", "--format", "xml"], "error: invalid value 'xml' for '--format <FORMAT>'\n"
             "  [possible values: text, json]"),
            (["sql", "x", "y", "--confirmed", "maybe"], "[possible values: true, false]"),
            (["sql", "x", "y", "--server"],
            "error: a value is required for '--server <SERVER>' but none was supplied"),
            (["sql", "-s", "a", "-s", "b", "x"], "the argument '--server <SERVER>' cannot be used multiple times"),
            (["sql", "--yes=no", "x"], "error: unexpected value 'no' for '--yes' found; no more were accepted"),
            (["describe", "x"], "the following required arguments were not provided:\n  --json"),
            (["rename", "x"], "the following required arguments were not provided:\n  --to <NAME>"),
            (["rename", "--to", "x"], "the following required arguments were not provided:\n  <DATABASE>"),
            (["server"], "Usage: worldline server"),
            (["publish", "-b", "a", "-j", "b"], "the argument '--bin-path <WASM_FILE>' cannot be used with "
             "'--js-path <JS_FILE>'"),
            (["publish", "--yes=sometimes", "-b", "a"],
            "[possible values: all, remote, migrate, break-clients, skip-login, "
             "delete-data]"),
            (["login", "--token", "a", "--server-issued-login", "b"], "cannot be used with"),
            (["--nope"], "error: unexpected argument '--nope' found")]:
        result = w.owner.fails(*args, status=2)
        equal(result.out, "")
        holds(result.err, text)


def test_version(w):
    for args in (["version"], ["--version"], ["-V"]):
        matches(w.owner.ok(*args).out, r"worldline \d+\.\d+\.\d+ \(compatible with SpacetimeDB 2\.8\.3\)\n")


def test_words_and_options_mix(w):
    table = w.owner.ok("sql", "people", "SELECT * FROM person WHERE id = 0").out
    for args in (["sql", "--anonymous", "people", "SELECT * FROM person WHERE id = 0"],
                 ["sql", "people", "SELECT", "*", "FROM", "person", "WHERE", "id", "=", "0", "-y"],
                 ["sql", "-s", w.host.url, "--", "people", "SELECT * FROM person WHERE id = 0"],
                 ["sql", f"--server={w.host.url}", "people", "--format=txt", "SELECT * FROM person WHERE id = 0"],
                 ["sql", f"-ys{w.host.url}", "people", "--format", "default", "SELECT * FROM person WHERE id = 0"]):
        equal(w.owner.ok(*args).out, table)


def test_the_name_in_texts_is_the_one_called(w):
    link = os.path.join(w.owner.home, "spacetime")
    os.symlink(BINARY, link)
    user = User(w.host.url)
    equal(user.ok("login", "show").out, "You are not logged in. Run `worldline login` to log in.\n")
    equal(user.ok("login", "show", program=link).out, "You are not logged in. Run `spacetime login` to log in.\n")
    equal(user.ok("-V", program=link).out, "spacetime 2.8.3\n")
    user.remove()


# ---- cli.toml ----

FIRST_CONFIG = """default_server = "local"

[[server_configs]]
nickname = "maincloud"
host = "maincloud.spacetimedb.com"
protocol = "https"

[[server_configs]]
nickname = "local"
host = "127.0.0.1:3000"
protocol = "http"
"""


def test_config_is_made(w):
    user = User()
    result = user.ok("server", "list")
    equal(result.err, f"Saving config to {user.config}.\n" + UNSTABLE)
    equal(result.out, " DEFAULT  HOSTNAME                   PROTOCOL  NICKNAME  \n"
                      "          maincloud.spacetimedb.com  https     maincloud \n"
                      "     ***  127.0.0.1:3000             http      local     \n")
    equal(user.read_config(), FIRST_CONFIG)
    equal(os.stat(user.config).st_mode & 0o777, 0o600)
    equal(user.ok("server", "list").err, UNSTABLE)
    user.remove()


def test_config_paths(w):
    user = User()
    own = os.path.join(user.home, "own.toml")
    user.ok("--config-path", own, "login", "show")
    assert os.path.exists(own) and not os.path.exists(user.config)
    user.ok("--root-dir", user.home, "login", "show")
    assert os.path.exists(os.path.join(user.home, "config", "cli.toml"))
    user.ok(f"--config-path={own}", "login", "--token", "abc")
    with open(own) as f:
        holds(f.read(), 'spacetimedb_token = "abc"\n')
    os.symlink(own, os.path.join(user.home, "link.toml"))
    user.ok("--config-path", os.path.join(user.home, "link.toml"), "logout")
    assert os.path.islink(os.path.join(user.home, "link.toml"))
    with open(own) as f:
        assert "spacetimedb_token" not in f.read()
    user.remove()


def test_config_keeps_what_it_does_not_know(w):
    user = User()
    text = f"""# mine
default_server = 'one' # the first

unknown = [ 1, [2], "]" ] # kept
spacetimedb_token = "old"

[[server_configs]] # first
nickname = "one"
host = "one:1"
protocol = "http"
colour = {{ a = 1, b = "x" }}

[other]
host = "not a server"

[[server_configs]]
host = "two:2"
protocol = "https"
ecdsa_public_key = \"\"\"
-----BEGIN-----
\"\"\"
"""
    user.write_config(text)
    user.ok("login", "--token", "new")
    wanted = text.replace('spacetimedb_token = "old"', 'spacetimedb_token = "new"')
    # Whoever was logged in is logged out first: the key goes, and comes back behind the last one of the file's head.
    equal(user.read_config(), wanted)
    user.ok("server", "set-default", "two:2")
    wanted = wanted.replace("'one' # the first", '"two:2" # the first')
    equal(user.read_config(), wanted)
    user.ok("server", "edit", "two:2", "--new-name", "two", "-y", "--no-fingerprint")
    wanted = wanted.replace('-----BEGIN-----\n"""\n', '-----BEGIN-----\n"""\nnickname = "two"\n')
    equal(user.read_config(), wanted)
    user.ok("server", "remove", "one")
    begin, end = wanted.index("[[server_configs]] # first"), wanted.index("[other]")
    wanted = wanted[:begin] + wanted[end:]
    equal(user.read_config(), wanted)
    user.ok("server", "remove", "two")
    assert "default_server" not in user.read_config()
    holds(user.read_config(), "[other]\nhost = \"not a server\"\n")
    holds(user.fails("list").err, "Error: No default server configuration.\n")
    user.remove()


def test_config_that_is_wrong(w):
    user = User()
    for text, cause in [
            ("default_server = 5\n",
            "Config error: The option `default_server` is not a `string`, found: `integer: 5`"),
            ("[[server_configs]]\nnickname = \"x\"\nprotocol = \"http\"\n",
            "Config error: The option `host` not found"),
            ("[[server_configs]]\nnickname = true\n", "Config error: The option `nickname` is not a `string`, found: "
             "`boolean: true`"),
            ("server_configs = []\n",
            "Config error: The option `server_configs` is not a `table array`, found: `array`"),
            ("default_server \"x\"\n", "TOML parse error at line 1: expected `=` behind a key"),
            ("a = 1\nb = \"open\n", "TOML parse error at line 2: unterminated string")]:
        user.write_config(text)
        equal(user.fails("login", "show").err,
              f"Error: config file {user.config} is invalid\n\nCaused by:\n    {cause}\n")
        equal(user.read_config(), text)
    user.remove()


# ---- server ----

def test_server_add_and_friends(w):
    user = User()
    host = w.host.url[len("http://"):]
    result = user.ok("server", "add", "--url", w.host.url + "/", "mine", "--default")
    found = matches(result.out, f"For server {re.escape(w.host.url)}, got fingerprint:\n"
                    "(-----BEGIN PUBLIC KEY-----\n.*-----END PUBLIC KEY-----\n)\n"
                    f"Host: {re.escape(host)}\nProtocol: http\n")
    holds(user.read_config(), f'nickname = "mine"\nhost = "{host}"\nprotocol = "http"\necdsa_public_key = """\n'
          f'{found.group(1)}"""\n')
    holds(user.read_config(), f'default_server = "{host}"\n')
    holds(user.ok("server", "list").out, f"     ***  {host} ")
    nobody = f"http://127.0.0.1:{free_port()}"
    holds(user.fails("server", "add", "--url", nobody, "other").err,
          f"Error: Unable to retrieve fingerprint for server: {nobody}\nIs the server running?\nAdd a server without "
          f"retrieving its fingerprint with:\n\tworldline server add --url {nobody} --no-fingerprint\n\nCaused by:\n")
    holds(user.fails("server", "add", "--url", "http://x:1", "mine", "--no-fingerprint").err,
          f"Error: Server nickname mine already in use: http://{host}\n")
    holds(user.fails("server", "add", "--url", w.host.url, "other", "--no-fingerprint").err,
          f"Error: Server already configured for host: {host}\n")
    holds(user.fails("server", "add", "--url", "x:1", "other").err, "Error: Invalid url: x:1\n")
    holds(user.fails("server", "add", "--url", "ftp://x", "other").err, "Error: Invalid protocol: ftp\n")
    equal(user.ok("server", "fingerprint", "mine").out,
        f"Fingerprint is unchanged for server mine:\n{found.group(1)}\n")
    holds(user.fails("server", "fingerprint", "nope").err, "No such saved server configuration: nope")
    equal(user.ok("server", "set-default", "local").out, "")
    holds(user.read_config(), 'default_server = "local"\n')
    holds(user.fails("server", "set-default", "nope").err,
          "Error: Cannot set default server to unknown server nope\n\nCaused by:\n"
          "    No such saved server configuration: nope\nAdd a new server configuration with:\n"
          "\tworldline server add nope --url <url>\n")
    user.ok("server", "remove", w.host.url)
    assert "mine" not in user.read_config()
    holds(user.fails("server", "remove", "mine").err, "Error: No such saved server configuration: mine\n")
    user.remove()


def test_server_fingerprint_is_saved_on_yes(w):
    user = User(w.host.url)
    before = user.read_config()
    result = user.fails("server", "fingerprint", "test", stdin="n\n")
    holds(result.out, "No saved fingerprint for server test. New fingerprint:\n-----BEGIN PUBLIC KEY-----\n")
    assert result.out.endswith("\nContinue? [y/N]"), result
    holds(result.err, "Error: Aborted\n")
    equal(user.read_config(), before)
    user.ok("server", "fingerprint", "test", stdin=" Yes \n")
    key = user.read_config()
    holds(key, "-----BEGIN PUBLIC KEY-----")
    user.write_config(re.sub('"""\n.*"""', '"old"', key, flags=re.S))
    out = user.ok("server", "fingerprint", "test", "-y").out
    holds(out, "Fingerprint has changed for server test.\nWas:\nold\nNew:\n-----BEGIN")
    holds(out, "Skipping confirmation due to --yes\n")
    equal(user.read_config(), key)
    user.remove()


def test_server_ping(w):
    equal(w.owner.ok("server", "ping", "test").out, f"Server is online: {w.host.url}\n")
    equal(w.owner.ok("server", "ping", w.host.url).out, f"Server is online: {w.host.url}\n")
    with Fake({("GET", "/v1/ping"): (503, None, "")}) as fake:
        equal(w.owner.ok("server", "ping", fake.url).out,
              f"Server could not be reached (503 Service Unavailable): {fake.url}\n")
    with Fake({}) as fake:
        equal(w.owner.ok("server", "ping", fake.url).out, f"Server returned 404 (Not Found): {fake.url}\n")
    url = f"http://127.0.0.1:{free_port()}"
    result = w.owner.fails("server", "ping", url)
    equal(result.out, "")
    matches(result.err, re.escape(UNSTABLE) + re.escape(f"Error: error sending request for url ({url}/v1/ping)\n\n"
                                                        "Caused by:\n    ") + "[^\n]+\n")
    holds(w.owner.fails("server", "ping", "ftp://x").err, "Error: Invalid protocol: ftp\n")
    holds(w.owner.fails("server", "ping", "nowhere").err, "Error: No such saved server configuration: nowhere\n")


def test_server_edit_and_clear(w):
    user = User()
    result = user.ok("server", "edit", "local", "--url", w.host.url, "--new-name", "here", "--yes")
    host = w.host.url[len("http://"):]
    holds(result.out, f"Changing nickname from local to here\nChanging host from 127.0.0.1:3000 to {host}\n"
          "Changing protocol from http to http\nNo saved fingerprint for server here. New fingerprint:\n")
    holds(user.read_config(), f'nickname = "here"\nhost = "{host}"\n')
    holds(user.read_config(), 'default_server = "here"\n')
    holds(user.fails("server", "edit", "here", "--new-name", "maincloud", "-y").err,
          "Error: Nickname maincloud conflicts with saved configuration for server maincloud: "
          "https://maincloud.spacetimedb.com\n")
    equal(user.ok("server", "clear").out, "Local database not found. Nothing has been deleted.\n")
    data = os.path.join(user.home, "data", "spacetime", "data")
    os.makedirs(os.path.join(data, "a", "b"))
    holds(user.fails("server", "clear", "-y").err, "is not the data folder of a host")
    with open(os.path.join(data, "metadata.toml"), "w") as f:
        f.write("x")
    os.symlink(user.cwd, os.path.join(data, "a", "link"))
    equal(user.ok("server", "clear", stdin="no\n").out,
        f"Database path: {data}\nAre you sure you want to delete all data "
          "from the local database? [y/N]Aborting\n")
    equal(user.ok("server", "clear", "-y").out,
          f"Database path: {data}\nSkipping confirmation due to --yes\nDeleted database: {data}\n")
    assert not os.path.exists(data) and os.path.isdir(user.cwd)
    user.remove()


# ---- login ----

def test_login(w):
    user = User(w.host.url)
    equal(user.ok("login", "show").out, "You are not logged in. Run `worldline login` to log in.\n")
    equal(user.ok("logout").out, "You are not logged in.\n")
    result = user.ok("login", "--token", ALICE_TOKEN)
    equal(result.out, f"Logged in with identity {ALICE}\n")
    equal(result.err, f"Saving config to {user.config}.\n")
    equal(user.ok("login", "show").out, f"You are logged in as {ALICE}\n")
    equal(user.ok("login", "show", "--token").out,
          f"You are logged in as {ALICE}\nYour auth token (don't share this!) is {ALICE_TOKEN}\n")
    result = user.ok("login", "--token", "junk")
    equal(result.out, f"Logged out (identity {ALICE}).\nToken saved.\n")
    holds(user.fails("login", "show").err, "Error: Token does not look like a JSON web token: junk\n")
    found = matches(user.ok("login", "--server-issued-login", "test").out,
                    "Logged out.\nWe have logged in directly to your target server.\n"
                    f"WARNING: This login will NOT work for any other servers.\nLogged in with identity ({HEX})\n")
    equal(user.ok("login", "show").out, f"You are logged in as {found.group(1)}\n")
    result = user.ok("logout")
    equal(result.out, f"Logged out (identity {found.group(1)}).\n")
    holds(result.err, "Warning: Failed to logout from auth server: No web session token\n")
    assert "spacetimedb_token" not in user.read_config()
    holds(user.fails("login", "--server-issued-login", "nope").err, "No such saved server configuration: nope")
    user.remove()


def test_tokens_that_do_not_say_who(w):
    user = User(w.host.url)
    for claims, text in [({"sub": "a", "iat": 1}, "missing field `iss`"), ({"iss": "a", "iat": 1},
            "missing field `sub`"),
                         ({"iss": "a", "sub": "b"}, "missing field `iat`"),
                         ({"iss": "localhost", "sub": "alice", "iat": 1, "hex_identity": "00" * 32},
                         "Identity mismatch")]:
        equal(user.ok("login", "--token", token_of(claims)).out.splitlines()[-1], "Token saved.")
        holds(user.fails("login", "show").err, text)
    user.ok("login", "--token", token_of({"iss": "localhost", "sub": "alice", "iat": 1, "hex_identity": ALICE}))
    equal(user.ok("login", "show").out, f"You are logged in as {ALICE}\n")
    user.remove()


def test_web_login(w):
    status = [(200, JSON, {"success": True, "data": {"approved": False}}),
              (200, JSON, {"success": True, "data": {"approved": True, "sessionToken": "session"}})]
    with Fake({("POST", "/api/auth/cli/login/request-token"): (200, JSON, {"success": True, "data": {"token": "r t"}}),
               ("GET", "/api/auth/cli/status"): (SCRIPT, None, status),
               ("POST", "/api/spacetimedb-token"): (200, JSON, {"success": True, "data": {"token": ALICE_TOKEN}}),
               ("POST", "/auth/cli/logout"): (200, JSON, {})}) as fake:
        user = User(w.host.url)
        equal(user.ok("login", "--auth-host", fake.url + "/", "--no-browser").out,
              f"Open {fake.url}/login/cli?token=r%20t in your browser to finish logging in.\n"
              f"Waiting to hear response from the server...\nLogin successful!\nLogged in with identity {ALICE}\n")
        equal(fake.asked("POST", "/api/spacetimedb-token")[0][2]["Authorization"], "Bearer session")
        holds(user.read_config(), 'web_session_token = "session"\n')
        result = user.ok("logout", "--auth-host", fake.url)
        equal(result.out, f"Logged out (identity {ALICE}).\n")
        equal(result.err, f"Saving config to {user.config}.\n")
        equal(fake.asked("POST", "/auth/cli/logout")[0][2]["Authorization"], "Bearer session")
        assert "token" not in user.read_config()
        user.remove()


def test_commands_log_in_by_themselves(w):
    question = "You are not logged in. Would you like to log in with spacetimedb.com? [y/N]"
    direct = ("We have logged in directly to your target server.\n"
              "WARNING: This login will NOT work for any other servers.\n")
    user = User(w.host.url)
    out = user.ok("list").out
    matches(out, re.escape(question + direct) + f"Logged in with identity ({HEX})\nNo databases found for \\1.\n")
    user.ok("logout")
    matches(user.ok("list", "-y").out,
        re.escape(direct) + f"Logged in with identity ({HEX})\nNo databases found for \\1.\n")
    user.ok("logout")
    equal(user.ok("sql", "people", "--anonymous", "SELECT * FROM person WHERE id = 0").out,
        " id | name \n----+------\n")
    user.remove()


# ---- publish ----

def test_publish(w):
    user = User(w.host.url)
    user.ok("login", "--server-issued-login", "test")
    name = "publish-lines"
    found = matches(user.ok("publish", "-b", w.wasm, name).out,
                    re.escape(f"(WASM) Skipping build. Instead we are publishing {w.wasm}\n"
                              f"Uploading to test => {w.host.url}\nChecking for breaking changes...\n"
                              f"Publishing module...\nCreated new database with name: {name}, identity: ")
                    + f"({HEX})\n")
    out = user.ok("publish", "--bin-path", w.wasm, "-s", w.host.url, name).out
    holds(out, f"Uploading to {w.host.url} => {w.host.url}\n")
    assert out.endswith(f"Updated database with name: {name}, identity: {found.group(1)}\n"), out
    out = user.ok("publish", "-b", w.wasm, found.group(1)).out
    assert out.endswith(f"Updated database with identity: {found.group(1)}\n"), out
    out = user.ok("publish", "-b", w.wasm).out
    matches(out.splitlines()[-1], f"Created new database with identity: {HEX}")
    assert "Checking" not in out
    stranger = User(w.host.url)
    result = stranger.fails("publish", "-b", w.wasm, "--yes", name)
    holds(result.err, "update database")
    user.remove()
    stranger.remove()


def test_publish_refuses_before_it_asks_the_host(w):
    for args, text in [
            (["-b", w.wasm, "Bad"], "Error: invalid characters in database name\n"),
            (["-b", w.wasm, "a--b"], "Error: invalid hyphen in database name\n"),
            (["-b", w.wasm, "-"], "Error: invalid hyphen in database name\n"),
            (["-b", w.wasm, ""], "Error: database names cannot be empty\n"),
            (["-b", w.wasm, "a/b/c"], "Error: invalid characters in database name\n"),
            (["-b", w.wasm, "--parent", "x", "y/z"], "Error: cannot specify both --parent and <parent>/<child>\n"),
            (["-b", w.wasm, "A/b"], "Error: invalid parent database name `A`\n\nCaused by:\n"
             "    invalid characters in database name\n"),
            (["-b", "missing.wasm", "x"],
            "Error: cannot read missing.wasm\n\nCaused by:\n    No such file or directory "),
            (["x"],
            "Error: building a module from its sources is not supported by this version yet, except in C (.)\n"),
            (["-p", "some/where", "x"], "(some/where)\n"),
            (["-j", "bundle.js", "x"], "Error: JavaScript modules are not supported by this version yet")]:
        holds(w.owner.fails("publish", "--yes", *args).err, text)


def test_publish_junk(w):
    path = os.path.join(w.owner.home, "junk.wasm")
    with open(path, "w") as f:
        f.write("junk")
    result = w.owner.fails("publish", "-b", path, "junk-module")
    matches(result.err,
        "Error: [^\n]+\n\nCaused by:\n    HTTP status server error \\(500 Internal Server Error\\) for url "
            f"\\({w.host.url}/v1/database/junk-module\\?host_type=Wasm\\)\n")


def test_publish_clears(w):
    name, identity = w.fresh()
    w.owner.ok("call", name, "add", "Ada")
    destroy = f"This will DESTROY the current {name} module, and ALL corresponding data.\n"
    result = w.owner.fails("publish", "-b", w.wasm, "-c", name)
    assert result.out.endswith(destroy + f"Are you sure you want to proceed? [deleting {name}] [y/N]"), result
    equal(result.err, "Error: Aborted.\n")
    holds(w.owner.sql(name, "SELECT * FROM person"), "Ada")
    w.owner.ok("publish", "-b", w.wasm, "--delete-data=never", name)
    holds(w.owner.sql(name, "SELECT * FROM person"), "Ada")
    out = w.owner.ok("publish", "-b", w.wasm, "--delete-data", name, stdin="y\n").out
    holds(out, f"{destroy}Are you sure you want to proceed? [deleting {name}] [y/N]Publishing module...\n")
    holds(out, f"Updated database with name: {name}, identity: {identity}\n")
    equal(w.owner.sql(name, "SELECT * FROM person"), " id | name \n----+------\n")
    out = w.owner.ok("publish", "-b", w.wasm, "--yes=remote,delete-data", "-c=always", name).out
    holds(out, destroy + "Skipping confirmation due to --yes\nPublishing module...\n")


def publish_fake(plan, status=200, kind=JSON):
    return {("POST", "/v1/database/x/pre_publish"): (status, kind, plan),
            ("PUT", "/v1/database/x"): (200, JSON, {"Success": {"domain": "x", "database_identity": ALICE, "op":
            "updated"}}),
            ("POST", "/v1/database"): (200, JSON, {"Success": {"domain": None, "database_identity": ALICE,
                                                               "op": "created"}})}


def test_publish_with_a_plan(w):
    def auto(breaks, major=False):
        return {"AutoMigrate": {"migrate_plan": "the plan", "break_clients": breaks, "token": "0xab",
            "major_version_upgrade":
                                major}}
    user = logged_in()
    with Fake(publish_fake(auto(False))) as fake:
        out = user.ok("publish", "-b", w.wasm, "-s", fake.url, "x").out
        holds(out, "Checking for breaking changes...\nthe plan\nPublishing module...\n")
        before, = fake.asked("POST", "/pre_publish")
        holds(before[1], "/v1/database/x/pre_publish?pretty_print_style=AnsiColor")
        holds(before[1], "host_type=Wasm")
        equal(before[2]["Authorization"], f"Bearer {ALICE_TOKEN}")
        assert "Content-Type" not in before[2] and "Expect" not in before[2], before[2]
        put, = fake.asked("PUT", "/v1/database/x")
        for part in ("host_type=Wasm", "token=0xab", "policy=BreakClients"):
            holds(put[1], part)
        with open(w.wasm, "rb") as f:
            program = f.read()
        assert before[3] == program and put[3] == program
        user.ok("publish", "-b", w.wasm, "-s", fake.url, "x", env={"NO_COLOR": "1"})
        holds(fake.asked("POST", "/pre_publish")[1][1], "pretty_print_style=NoColor")
    question = "The above changes will BREAK existing clients. Do you want to proceed? [y/N]"
    with Fake(publish_fake(auto(True))) as fake:
        result = user.fails("publish", "-b", w.wasm, "-s", fake.url, "x")
        assert result.out.endswith(f"the plan\n{question}Aborting\n"), result
        equal(result.err, "Error: Publishing aborted by user\n")
        assert not fake.asked("PUT", "")
        holds(user.ok("publish", "-b", w.wasm, "-s", fake.url, "x", stdin="y\n").out,
            question + "Publishing module...\n")
        for flag in ("--break-clients", "--yes", "-y=break-clients"):
            holds(user.ok("publish", "-b", w.wasm, "-s", fake.url, flag, "x").out,
                  "the plan\nSkipping confirmation due to --yes\nPublishing module...\n")
        equal(user.fails("publish", "-b", w.wasm, "-s", fake.url, "-y=migrate", "x").out.count(question), 1)
    with Fake(publish_fake(auto(False, True))) as fake:
        result = user.fails("publish", "-b", w.wasm, "-s", fake.url, "x", stdin="yes\n")
        holds(result.out, "major version upgrade from 1.0 to 2.0")
        holds(result.out, "WARNING: Once you publish you cannot revert back to version 1.0.\n")
        assert result.out.endswith("Please type 'upgrade' to accept this change: "), result
        equal(result.err, "Error: Aborting because major version upgrade was not accepted.\n")
        user.ok("publish", "-b", w.wasm, "-s", fake.url, "x", stdin="upgrade\n")
        user.ok("publish", "-b", w.wasm, "-s", fake.url, "--yes=migrate", "x")
    user.remove()


def test_publish_that_needs_a_manual_migration(w):
    user = logged_in()
    plan = {"ManualMigrate": {"reason": "the reason", "major_version_upgrade": False}}
    with Fake(publish_fake(plan)) as fake:
        result = user.fails("publish", "-b", w.wasm, "-s", fake.url, "--yes", "x")
        assert result.out.endswith("the reason\nAborting publish due to required manual migration.\n"), result
        equal(result.err, "Error: Aborting because publishing would require manual migration or deletion of data and "
              "--delete-data was not specified.\n")
        assert not fake.asked("PUT", "")
        out = user.ok("publish", "-b", w.wasm, "-s", fake.url, "--delete-data=on-conflict", "x", stdin="y\n").out
        holds(out,
            "the reason\nProceeding with database clear due to --delete-data=on-conflict.\nThis will DESTROY the "
              "current x module, and ALL corresponding data.\nAre you sure you want to proceed? [deleting x] [y/N]")
        holds(fake.asked("PUT", "/v1/database/x")[0][1], "clear=true")
    user.remove()


def test_publish_answers_of_other_hosts(w):
    user = logged_in()
    with Fake(publish_fake("not here", 501, "text/plain")) as fake:
        user.ok("publish", "-b", w.wasm, "-s", fake.url, "x")
        assert "token=" not in fake.asked("PUT", "/v1/database/x")[0][1]
    with Fake(publish_fake("it broke", 500, "text/plain")) as fake:
        equal(user.fails("publish", "-b", w.wasm, "-s", fake.url, "x").err,
              "Error: Pre-publish check failed with status 500 Internal Server Error: it broke\n")
    answers = publish_fake("", 404)
    answers["PUT", "/v1/database/x"] = (401, JSON, {"PermissionDenied": {"name": "x"}})
    with Fake(answers) as fake:
        holds(user.fails("publish", "-b", w.wasm, "-s", fake.url, "x").err,
              "Error: The database x is not registered to the identity you provided.\n")
        equal(user.fails("publish", "-b", w.wasm, "-s", fake.url, "--anonymous", "x").err,
              "Error: You need to be logged in as the owner of x to publish to x\n")
        assert "Authorization" not in fake.requests[-1][2]
    with Fake(publish_fake("", 404)) as fake:
        user.ok("publish", "-b", w.wasm, "-s", fake.url, "--num-replicas", "3", "--org", "o", "up/x")
        put, = fake.asked("PUT", "/v1/database/x")
        for part in ("num_replicas=3", "parent=up", "org=o"):
            holds(put[1], part)
        equal(user.ok("publish", "-b", w.wasm, "-s", fake.url).out.splitlines()[-1],
              f"Created new database with identity: {ALICE}")
        elsewhere = fake.url.replace("127.0.0.1", "127.0.0.2")
        result = user.fails("publish", "-b", w.wasm, "-s", elsewhere, "x")
        assert result.out.endswith("You are about to publish to a non-local server: 127.0.0.2\n"
                                   "Are you sure you want to proceed? [y/N]"), result
        equal(result.err, "Error: Publish aborted by user.\n")
    user.remove()


# ---- call ----

def test_call(w):
    name, identity = w.fresh()
    result = w.owner.ok("call", name, "add", "Ada")
    equal((result.out, result.err), ("", UNSTABLE))
    w.owner.ok("call", name, "add", '"Grace"')
    w.owner.ok("call", "-s", w.host.url, "--", identity, "add", "-dash", "dropped", "as well")
    w.owner.ok("call", "--anonymous", name, "rename", "1", "Ada L.")
    equal(trimmed(w.owner.sql(name, "SELECT * FROM person")),
          ' id | name\n----+----------\n 1  | "Ada L."\n 2  | "Grace"\n 3  | "-dash"\n')


def test_call_errors(w):
    name, identity = w.fresh()
    db = f"for database `{name}` resolving to identity `{identity}`."
    url = f"{w.host.url}/v1/database/{identity}/call"
    equal(w.owner.fails("call", name, "addd", "x").err,
          UNSTABLE + f"Error: No such reducer OR procedure `addd` {db}\n\n"
          "A reducer with a similar name exists: `add`\n")
    equal(w.owner.fails("call", name, "hello_say").err,
          UNSTABLE + f"Error: No such reducer OR procedure `hello_say` {db}\n\n"
          "A reducer with a similar name exists: `say_hello`\n")
    equal(w.owner.fails("call", name, "ADD").err,
          UNSTABLE + f"Error: No such reducer OR procedure `ADD` {db}\n\nA reducer with a similar name exists: `add`\n")
    equal(w.owner.fails("call", name, "nothing_like_it").err,
          UNSTABLE + f"Error: No such reducer OR procedure `nothing_like_it` {db}\n\n"
          "Here are some existing reducers:\n- rename\n- say_hello\n- remove\n- add\n\n"
          "The database has no procedures.\n")
    equal(w.owner.fails("call", name, "rename", "1").err,
          UNSTABLE + f"Error: Invalid arguments provided for reducer `rename` {db}\n\n"
          "The reducer has the following signature:\n\trename(id: u64, name: String)\n\nCaused by:\n"
          "    0: Response text: invalid arguments for reducer rename: .: invalid arguments for function rename: .: .: "
          "invalid length 1, expected reducer args for rename with 2 elements at line 1 column 3\n"
          f"    1: HTTP status client error (400 Bad Request) for url ({url}/rename)\n")
    equal(w.owner.fails("call", name, "remove", "99").err,
          UNSTABLE + "Error: Response text: there is no person 99\n\nCaused by:\n"
          f"    HTTP status server error (530 <unknown status code>) for url ({url}/remove)\n")
    equal(w.owner.fails("call", name).err, UNSTABLE + "Error: the following required arguments were not provided:\n"
          "  <function_name>\n\nUsage: worldline call [database] <function_name> <arguments>... (or --no-config for "
          "legacy behavior)\n")
    equal(w.owner.fails("call").err, UNSTABLE + "Error: the following required arguments were not provided:\n"
          "  <database>\n\nUsage: worldline call [database] <function_name> <arguments>... (or --no-config for "
          "legacy behavior)\n")
    equal(w.owner.fails("call", "no-such-database", "add", "x").err,
          UNSTABLE + "Error: failed to find database `no-such-database`.\n")


def test_call_shows_ten_of_many(w):
    err = w.owner.fails("call", "types", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz").err
    matches(err, ".*Here are some existing reducers:(\n- [a-z_0-9]+){10}\n... \\(\\d+ reducers not shown\\)\n.*")


def test_call_identities(w):
    for given in (ALICE, "0x" + ALICE, f'"{ALICE}"', f'"0x{ALICE}"', f'["0x{ALICE}"]', json.dumps(
            {"__identity__": "0x" + ALICE})):
        w.owner.ok("call", "types", "insert_one_identity", "1", given)
        equal(trimmed(w.owner.sql("types", "SELECT value FROM one_identity")), f" value\n{'-' * 68}\n 0x{ALICE}\n")
        w.owner.ok("call", "types", "delete_one_identity", "1")


def test_call_procedures(w):
    schema = {"sections": [{"Typespace": {"types": []}}, {"Procedures": [
        {"source_name": "answer", "params": {"elements": []}, "return_type": {"U32": []}}]}]}
    with Fake({("GET", f"/v1/database/{ALICE}/schema"): (200, JSON, schema),
               ("POST", f"/v1/database/{ALICE}/call/answer"): (200, JSON, "[1,\"x\"]")}) as fake:
        user = logged_in()
        equal(user.ok("call", "-s", fake.url, ALICE, "answer").out, '[1,"x"]\n')
        request, = fake.asked("POST", "/call/answer")
        equal(request[3], b"[]")
        equal(request[2]["Content-Type"], JSON)
        err = user.fails("call", "-s", fake.url, ALICE, "anwser").err
        holds(err, "\n\nA procedure with a similar name exists: `answer`\n")
        holds(user.fails("call", "-s", fake.url, ALICE, "different").err,
              "\n\nThe database has no reducers.\n\nHere are some existing procedures:\n- answer\n")
        user.remove()


# ---- sql ----

VALUES = [  # table, value as an argument, what sql shows
    ("one_u_8", "255", "255"), ("one_u_16", "65535", "65535"), ("one_u_32", "4294967295", "4294967295"),
    ("one_u_64", "18446744073709551615", "18446744073709551615"),
    ("one_u_128", "340282366920938463463374607431768211455", "340282366920938463463374607431768211455"),
    ("one_u_256", '"0x' + "f" * 64 + '"',
     "115792089237316195423570985008687907853269984665640564039457584007913129639935"),
    ("one_u_256", '"0x0"', "0"),
    ("one_i_8", "-128", "-128"), ("one_i_16", "-1", "-1"), ("one_i_32", "-2147483648", "-2147483648"),
    ("one_i_64", "-9223372036854775808", "-9223372036854775808"),
    ("one_i_128", "-170141183460469231731687303715884105728", "-170141183460469231731687303715884105728"),
    ("one_i_256", '"-0x1"', "-1"),
    ("one_f_32", "594806.56", "594806.56"), ("one_f_32", "1e-7", "0.0000001"), ("one_f_32", "-0.0", "-0"),
    ("one_f_32", "0.1", "0.1"), ("one_f_32", "16777216", "16777216"),
    ("one_f_64", "1e300", "1" + "0" * 300), ("one_f_64", "5", "5"), ("one_f_64", "-1.5e-7", "-0.00000015"),
    ("one_f_64", "123456789012345680000", "123456789012345680000"), ("one_f_64", "0.30000000000000004",
                                                                     "0.30000000000000004"),
    ("one_bool", "true", "true"), ("one_string", "say \\\"x\\\" \\\\", '"say "x" \\"'), ("one_string", '""', '""'),
    ("one_bytes", '"00ff"', "0x00ff"), ("one_bytes", '""', "0x"),
    ("one_identity", ALICE, "0x" + ALICE), ("one_connection_id", "[255]", "0x" + "0" * 30 + "ff"),
    ("one_timestamp", "[0]", "1970-01-01T00:00:00+00:00"), ("one_timestamp", "[1622545800123456]",
                                                            "2021-06-01T11:10:00.123456+00:00"),
    ("one_time_duration", "[0]", "+0.000000"), ("one_time_duration", "[-1500000]", "-1.500000"),
    ("one_uuid", "[1]", '"00000000-0000-0000-0000-000000000001"'),
    ("one_color", '{"green":[]}', "(green = ())"),
    ("one_shape", '{"box":{"x":1,"y":-2}}', "(box = (x = 1, y = -2))"), ("one_shape", '{"empty":[]}', "(empty = ())"),
    ("one_shape", '{"tint":{"some":{"red":[]}}}', "(tint = (some = (red = ())))"),
    ("one_shape", '{"path":[[1,2],[3,4]]}', "(path = [(x = 1, y = 2), (x = 3, y = 4)])"),
    ("one_nested", '["n",[1,2],[2,[]],[1,2],[0,"hi"],[]]',
     '(name = "n", at = (x = 1, y = 2), fill = (blue = ()), marks = [1, 2], note = (some = "hi"), nothing = ())'),
    ("one_nothing", "[]", "()"),
    ("one_result", '{"err":"bad"}', '(err = "bad")'), ("one_result", '{"ok":7}', "(ok = 7)"),
    ("one_schedule_at", '{"Time":[1]}',
     "(Time = (__timestamp_micros_since_unix_epoch__ = 1970-01-01T00:00:00.000001+00:00))"),
    ("one_schedule_at", '{"Interval":[2]}', "(Interval = (__time_duration_micros__ = +0.000002))"),
    ("option_i_32", "null", "(none = ())"), ("option_i_32", '{"some":-5}', "(some = -5)"),
    ("option_option", '{"some":{"none":[]}}', "(some = (none = ()))"),
    ("vec_i_32", "[1,-2]", "[1, -2]"), ("vec_i_32", "[]", "[]"), ("vec_string", '["a","b"]', '["a", "b"]'),
    ("vec_bytes", '["00","ff"]', "[0x00, 0xff]"), ("vec_identity", f'[["0x{ALICE}"]]', f"[0x{ALICE}]"),
    ("vec_f_64", "[1.5,2]", "[1.5, 2]"), ("vec_color", '[[0,[]]]', "[(red = ())]"),
]


def test_sql_values(w):
    for table, value, shown in VALUES:
        w.owner.ok("call", "types", f"insert_{table}", "1", value)
        out = w.owner.sql("types", f"SELECT value FROM {table}")
        w.owner.ok("call", "types", f"delete_{table}", "1")
        equal(out, f" {'value'.ljust(len(shown))} \n{'-' * (max(len(shown), 5) + 2)}\n {shown.ljust(5)} \n")


def test_sql_floats_that_json_has_not(w):
    schema = {"elements": [{"name": {"some": "f"}, "algebraic_type": {"F64": []}},
                           {"name": {"none": []}, "algebraic_type": {"F32": []}}]}
    with Fake({("POST", f"/v1/database/{ALICE}/sql"): (200, JSON, [{"schema": schema, "rows": [[None,
        1.5]]}])}) as fake:
        user = logged_in()
        equal(user.ok("sql", "-s", fake.url, ALICE, "x").out,
              " f    | column 1 \n------+----------\n null | 1.5      \n")
        user.remove()


def test_sql_tables(w):
    name, _ = w.fresh()
    equal(w.owner.sql(name, "SELECT * FROM person"), " id | name \n----+------\n")
    result = w.owner.ok("sql", name, "INSERT INTO person (id, name) VALUES (10, '漢字')")
    equal((result.out, result.err), ("\n", UNSTABLE))
    w.owner.ok("call", name, "add", "two\\nlines, e\u0301")
    equal(trimmed(w.owner.sql(name, "SELECT * FROM person")),
          ' id | name\n----+---------------\n 10 | "漢字"\n 1  | "two\n    | lines, e\u0301"\n'.replace("-" * 15,
          "-" * 11))
    equal(trimmed(w.owner.sql(name, "SELECT COUNT(*) AS n FROM person")), " n\n---\n 2\n")
    equal(w.owner.ok("sql", name, "--confirmed", "true", "SELECT", "COUNT(*)", "AS", "n", "FROM", "person").out,
          " n \n---\n 2 \n")
    out = w.owner.ok("sql", name, "--format", "json", "SELECT * FROM person WHERE id = 10").out
    parsed = json.loads(out)
    equal(parsed[0]["rows"], [[10, "漢字"]])
    assert out.endswith("]\n") and out.count("\n") == 1


def test_sql_errors(w):
    url = f"{w.host.url}/v1/database/{w.people}/sql"
    cause = f"\n\nCaused by:\n    HTTP status client error (400 Bad Request) for url ({url})\n"
    equal(w.owner.fails("sql", "people", "SELECT * FROM nothing").err,
          UNSTABLE + "Error: no such table: `nothing`. If the table exists, it may be marked private." + cause)
    matches(w.owner.fails("sql", "people", "SELEC").err,
            re.escape(UNSTABLE) + "Error: sql parser error: [^\n]+" + re.escape(cause))
    holds(w.owner.fails("sql", "people").err,
        "Error: the following required arguments were not provided:\n  <query>\n\n"
          "Usage: worldline sql [database] <query> [--no-config]\n")
    with Fake({("POST", f"/v1/database/{ALICE}/sql"): (200, "text/html", "<html>")}) as fake:
        user = logged_in()
        holds(user.fails("sql", "-s", fake.url, ALICE, "x").err, "was success but did not have content-type: "
              "application/json\n")
        user.remove()
    for body in ("{}", "[{}]",
            '[{"schema":{"elements":[{"name":{"some":"a"},"algebraic_type":{"U8":[]}}]},"rows":[[]]}]',
                 '[{"schema":{"elements":[{"name":{"some":"a"},"algebraic_type":{"U8":[]}}]},"rows":[["x"]]}]',
                 '[{"schema":{"elements":[{"name":{"some":"a"},"algebraic_type":{"Nope":[]}}]},"rows":[]}]',
                 "not json"):
        with Fake({("POST", f"/v1/database/{ALICE}/sql"): (200, JSON, body)}) as fake:
            user = logged_in()
            matches(user.fails("sql", "-s", fake.url, ALICE, "x").err,
                    re.escape(UNSTABLE) + "Error: [^\n]*(malformed|decoding).*")
            user.remove()


def test_sql_prompt(w):
    name, _ = w.fresh()
    out = w.owner.ok("sql", "--interactive", name,
                     stdin="INSERT INTO person (id, name) VALUES (10, 'Ada')\n\nSELECT * FROM person\nnope\n.exit\n"
                     "SELECT\n").out
    time_ = r"\d+(\.\d+)?(s|ms|µs|ns)"
    matches(out, rf"\(0 rows\) \[inserted: 1, server: {time_}\]\nRoundtrip time: {time_}\n\n"
            rf' id \| name  \n----\+-------\n 10 \| "Ada" \n\(1 row\) \[server: {time_}\]\nRoundtrip time: {time_}\n\n')
    holds(w.owner.fails("sql", "--interactive", name, "SELECT").err, "Too many positional arguments")


# ---- subscribe ----

def test_subscribe(w):
    name, identity = w.fresh()
    w.owner.ok("call", name, "add", "Ada")
    number = 1
    for query in ("SELECT * FROM person", "SELECT * FROM person WHERE id > 0"):
        process = w.owner.start("subscribe", name, "-n", "3", "-t", "30", "--print-initial-update", "--confirmed",
            "true",
                                query)
        initial = json.loads(process.stdout.readline())
        number += 1
        equal(initial, {"person": {"deletes": [], "inserts": [{"id": 1, "name": "Ada"}]}})
        w.owner.ok("call", name, "add", "Grace")
        equal(process.stdout.readline(),
              '{"person":{"deletes":[],"inserts":[{"id":%d,"name":"Grace"}]}}\n' % number)
        w.owner.ok("call", name, "rename", str(number), "Hopper")
        equal(process.stdout.readline(), '{"person":{"deletes":[{"id":%d,"name":"Grace"}],"inserts":'
              '[{"id":%d,"name":"Hopper"}]}}\n' % (number, number))
        w.owner.ok("call", name, "remove", str(number))
        equal(process.stdout.readline(),
              '{"person":{"deletes":[{"id":%d,"name":"Hopper"}],"inserts":[]}}\n' % number)
        equal(process.wait(30), 0)
        equal(process.stderr.read(), UNSTABLE)
        process.stdout.close()
        process.stderr.close()


def test_subscribe_shows_events_and_types(w):
    process = w.owner.start("subscribe", "types", "-n", "2", "-t", "30", "--print-initial-update",
                            "SELECT * FROM notice", "SELECT * FROM option_nested")
    equal(process.stdout.readline(), "{}\n")
    w.owner.ok("call", "types", "notify", "hear")
    equal(process.stdout.readline(), '{"notice":{"deletes":[],"inserts":[{"text":"hear"}]}}\n')
    w.owner.ok("call", "types", "insert_option_nested", "1", '{"some":["n",[1,2],[2,[]],[1,2],[1,[]],[]]}')
    equal(json.loads(process.stdout.readline()), {"option_nested": {"deletes": [], "inserts": [{"key": 1, "value":
        {"some": {
        "name": "n", "at": {"x": 1, "y": 2}, "fill": {"blue": []}, "marks": [1, 2], "note": {"none": []},
        "nothing": []}}}]}})
    equal(process.wait(30), 0)
    process.stdout.close()
    process.stderr.close()
    w.owner.ok("call", "types", "delete_option_nested", "1")


def test_subscribe_ends(w):
    result = w.owner.ok("subscribe", "people", "-t", "1", "SELECT * FROM person")
    equal((result.out, result.err), ("", UNSTABLE + "timed out after 1s\n"))
    result = w.owner.fails("subscribe", "people", "-n", "2", "-t", "1", "SELECT * FROM person")
    equal(result.err,
        UNSTABLE + "timed out after 1s\nError: subscription timed out after 1s after receiving 0/2 updates\n")
    equal(w.owner.ok("subscribe", "people", "-n", "0", "SELECT * FROM person").out, "")
    holds(w.owner.fails("subscribe", "people", "SELECT * FROM nothing").err,
          "Error: encountered error in initial subscribe: no such table: `nothing`")
    holds(w.owner.fails("subscribe", "people").err,
        "  <query>\n\nUsage: worldline subscribe [database] <query> [query...] "
          "(or --no-config for legacy behavior)\n")
    for limit, status, text in (([], 0, "disconnected by server\n"),
                                (["-n", "2"], 1, "Error: subscription closed after receiving 0/2 updates\n")):
        name, _ = w.fresh()
        process = w.owner.start("subscribe", name, *limit, "--print-initial-update", "SELECT * FROM person")
        equal(process.stdout.readline(), "{}\n")
        w.owner.ok("delete", name, "-y")
        equal(process.wait(30), status)
        equal(process.stderr.read(), UNSTABLE + text)
        process.stdout.close()
        process.stderr.close()


# ---- logs ----

def stripped(text):
    return re.sub(r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z ", "T ", text)


def test_logs(w):
    name, _ = w.fresh(w.types_wasm)
    w.owner.ok("call", name, "log_levels")
    out = stripped(w.owner.ok("logs", name, "-n", "5").out)
    matches(out, "T ERROR: log_levels [^ ]*lib.rs:\\d+: an error\nT  WARN: log_levels [^ ]*lib.rs:\\d+: a warning\n"
            "T  INFO: log_levels [^ ]*lib.rs:\\d+: an info\nT DEBUG: log_levels [^ ]*lib.rs:\\d+: a debug line\n"
            "T TRACE: log_levels [^ ]*lib.rs:\\d+: a trace line\n")
    holds(stripped(w.owner.ok("logs", name).out), "T  INFO: Database initialized\n")
    equal(stripped(w.owner.ok("logs", name, "-l", "warn").out).count("\n"), 2)
    equal(stripped(w.owner.ok("logs", name, "--level", "warn", "--level-exact").out).count("\n"), 1)
    equal(stripped(w.owner.ok("logs", name, "--level=panic").out), "")
    lines = w.owner.ok("logs", name, "-n", "5", "--format", "json").out.splitlines()
    equal([json.loads(line)["level"] for line in lines], ["Error", "Warn", "Info", "Debug", "Trace"])
    equal(w.owner.ok("logs", name, "--format", "json", "-l", "error").out, lines[0] + "\n")


def test_logs_of_a_panic_name_the_frames(w):
    name, _ = w.fresh(w.types_wasm)
    w.owner.fails("call", name, "panic", "oops")
    out = stripped(w.owner.ok("logs", name, "-n", "1").out)
    lines = out.splitlines()
    matches(lines[0], "T PANIC: panic [^ ]*lib.rs:\\d+: oops")
    for line in lines[1:]:
        matches(line, "    in .*")


def test_logs_follow(w):
    name, _ = w.fresh()
    process = w.owner.start("logs", name, "-f", "-n", "1")
    lines = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True).start()
    holds(lines.get(timeout=30), "")
    w.owner.ok("call", name, "say_hello")
    deadline = time.time() + 30
    while "Hello, World!" not in lines.get(timeout=max(0.1, deadline - time.time())):
        pass
    process.terminate()
    process.wait(30)
    process.stderr.close()


def test_logs_are_the_owners(w):
    stranger = User(w.host.url)
    stranger.ok("login", "--server-issued-login", "test")
    err = stranger.fails("logs", "people").err
    matches(err, f"Error: {HEX} is not authorized to perform action on database {w.people}: view module logs\n")
    equal(stranger.fails("logs").err, "Error: the following required arguments were not provided:\n  <database>\n\n"
          "Usage: worldline logs [database] [--no-config]\n")
    stranger.remove()


def test_logs_text(w):
    records = [{"level": "Warn", "ts": 5, "target": "t", "filename": "a.rs", "line_number": 3, "function": "f",
                "message": "m"},
               {"level": "Panic", "ts": 1000000, "filename": "__spacetimedb__", "function": "f", "message":
                   "two\nlines",
                "trace": [{"module_name": "m.wasm", "func_name": "g"}, {"func_name": "h"}]},
               {"level": "Debug", "filename": "b.rs", "message": "no time"}]
    text = "\n".join(json.dumps(r) for r in records)  # the last has no newline
    with Fake({("GET", f"/v1/database/{ALICE}/logs"): (200, "application/x-ndjson", text)}) as fake:
        user = logged_in()
        equal(user.ok("logs", "-s", fake.url, ALICE).out,
              "1970-01-01T00:00:00.000005Z  WARN: f a.rs:3: m\n1970-01-01T00:00:01Z PANIC: f: two\nlines\n"
              "    in m.wasm :: g\n    in h\nDEBUG: b.rs: no time\n")
        equal(user.ok("logs", "-s", fake.url, "--format=json", ALICE).out, text)
        holds(fake.requests[0][1], "/logs?follow=false")
        user.ok("logs", "-s", fake.url, "-f", ALICE)
        holds(fake.requests[-1][1], "/logs?num_lines=10&follow=true")
        user.remove()


# ---- databases ----

def test_describe(w):
    url = f"/v1/database/{w.types}/schema?version=10"
    whole = json.loads(w.host.request("GET", url)[1])
    out = w.owner.ok("describe", "types", "--json").out
    equal(json.loads(out), whole)
    equal(out, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    sections = {k: v for s in whole["sections"] for k, v in s.items()}
    reducer = next(r for r in sections["Reducers"] if r["source_name"] == "fail")
    equal(json.loads(w.owner.ok("describe", "types", "reducer", "fail", "--json").out), reducer)
    table = next(t for t in sections["Tables"] if t["source_name"] == "keyed_u128")
    equal(json.loads(w.owner.ok("describe", "--json", "types", "table", "keyed_u_128").out), table)
    equal(w.owner.fails("describe", "types", "--json", "table", "nope").err, UNSTABLE + "Error: no such table\n")
    equal(w.owner.fails("describe", "types", "--json", "reducer", "nope").err, UNSTABLE + "Error: no such reducer\n")
    equal(w.owner.fails("describe", "types", "--json", "view", "x").err,
          UNSTABLE + "Error: Invalid entity_type 'view'. Expected one of: reducer, table.\n")
    holds(w.owner.fails("describe", "types", "--json", "table").err, "Error: Invalid describe arguments.\n")
    path = os.path.join(w.owner.home, "never.wasm")
    with open(path, "w") as f:
        f.write("never")
    w.owner.fails("publish", "-b", path, "never-was")
    holds(w.owner.fails("describe", "never-was", "--json").err, "No such database")


def test_list_and_rename(w):
    user = User(w.host.url)
    identity = re.search(HEX, user.ok("login", "--server-issued-login", "test").out).group(0)
    equal(user.ok("list").out, f"No databases found for {identity}.\n")
    one = re.findall(HEX, user.ok("publish", "-b", w.wasm, "listed").out)[-1]
    two = re.findall(HEX, user.ok("publish", "-b", w.wasm).out)[-1]
    size = r" +\| +\d+(\.\d)? [KM]B +\| 256\.0 KB \| ok +\n"
    matches(user.ok("list").out, rf"Associated databases for user {identity}:\n\n Database Name\(s\) \| Identity {{57}}"
            r"\| Memory +\| Disk +\| State \n-{18}\+-{66}\+-+\+-+\+-+\n"
            rf" listed           \| {one}{size}                  \| {two}{size}")
    equal(user.ok("rename", "--to", "renamed", one).out, f"Name set to renamed for identity {one}.\n")
    holds(user.ok("list").out, f" renamed          | {one} ")
    equal(user.fails("rename", "--to", "people", one).err,
          "Error: Cannot rename to people because it already is in use.\n")
    equal(user.fails("rename", "--to", "mine", w.people).err,
          f"Error: You cannot rename {w.people} because it is owned by another identity.\n")
    holds(user.fails("rename", "--to", "Bad Name", one).err, "Error: Error parsing `Bad Name`: ")
    user.remove()


def test_lock_and_delete(w):
    name, identity = w.fresh()
    equal(w.owner.ok("lock", name).out, f"Database {identity} is now locked. It cannot be deleted until unlocked.\n")
    url = f"{w.host.url}/v1/database/{identity}"
    equal(w.owner.fails("delete", name, "-y").err,
          "Error: Database is locked and cannot be deleted. Run `spacetime unlock` first.\n\nCaused by:\n"
          f"    HTTP status client error (403 Forbidden) for url ({url})\n")
    equal(w.owner.ok("unlock", identity).out, f"Database {identity} is now unlocked.\n")
    question = "Are you sure you want to delete database {}? This action cannot be undone. [y/N]"
    equal(w.owner.ok("delete", name).out, question.format(f"{name} ({identity})") + "Aborting\n")
    equal(w.owner.ok("delete", identity, stdin="n\n").out, question.format(identity) + "Aborting\n")
    w.owner.ok("sql", name, "SELECT * FROM person")
    stranger = User(w.host.url)
    holds(stranger.fails("delete", name, "-y").err, "delete database")
    holds(stranger.fails("lock", name).err, "delete database")
    equal(w.owner.ok("delete", name, stdin="YES\n").out, question.format(f"{name} ({identity})"))
    holds(w.owner.fails("sql", name, "SELECT 1").err, "No such database")
    equal(w.owner.fails("delete", "nobody-s").err, "Error: failed to find database `nobody-s`.\n")
    stranger.remove()


def test_delete_with_children(w):
    def node(n, names, *children):
        return {"root": {"database_identity": f"{n:064x}", "database_names": names}, "children": list(children)}
    tree = node(1, ["parent"], node(4, ["bro", "sibling"]), node(2, ["child"], node(5, []), node(3, ["grandchild"])))
    answers = {("DELETE", f"/v1/database/{ALICE}"): (SCRIPT, None, [])}
    asked = (428, JSON, {"database_tree": tree, "confirmation_token": "0xab"})
    with Fake(answers) as fake:
        user = logged_in()
        script = answers["DELETE", f"/v1/database/{ALICE}"][2]
        script.extend([asked, (200, None, "")])
        out = user.ok("delete", "-s", fake.url, ALICE, stdin="y\ny\n").out
        holds(out, f"WARNING: Deleting the database {ALICE} will also delete its children!\n"
              f"{1:064x}: parent\n├── {4:064x}: bro, sibling\n└── {2:064x}: child\n    ├── {5:064x}\n"
              f"    └── {3:064x}: grandchild\nDo you want to proceed deleting above databases? [y/N]")
        holds(fake.requests[-1][1], "?token=0xab")
        script.append(asked)
        out = user.ok("delete", "-s", fake.url, ALICE, stdin="y\nn\n").out
        assert out.endswith("[y/N]Aborting\n"), out
        script.extend([asked, (200, None, "")])
        equal(user.ok("delete", "-s", fake.url, "-y", ALICE).out, "Skipping confirmation due to --yes\n"
              f"WARNING: Deleting the database {ALICE} will also delete its children!\n")
        user.remove()


# ---- spacetime.json ----

def project(user, **files):
    for name, text in files.items():
        path = os.path.join(user.cwd, name.replace("_", ".") + ".json")
        with open(path, "w") as f:
            f.write(text if isinstance(text, str) else json.dumps(text))


def test_project_names_the_database(w):
    user = User(w.host.url)
    user.ok("login", "--token", re.search('spacetimedb_token = "(.*)"', w.owner.read_config()).group(1))
    below = os.path.join(user.cwd, "a", "b")
    os.makedirs(below)
    project(user,
        spacetime="{\n // comment\n 'database': 'nowhere', server: 'test', /* x */ \"module-path\": './x',\n}",
            spacetime_local={"database": "people"})
    user.cwd = below
    table = user.ok("sql", "SELECT * FROM person WHERE id = 0").out
    equal(table, " id | name \n----+------\n")
    equal(user.ok("sql", "people", "SELECT * FROM person WHERE id = 0").out, table)
    holds(user.fails("call", "no_such_thing").err, "`no_such_thing` for database `people`")
    holds(user.fails("call", "types", "log_levels").err, "No such reducer OR procedure `types` for database `people`")
    user.ok("call", "--no-config", "types", "log_levels")
    user.ok("logs", "-n", "1")
    user.ok("logs", "types", "-n", "1")
    holds(user.ok("describe", "--json", "table", "person").out, '"source_name": "person"')
    equal(user.fails("sql", "--no-config", "SELECT * FROM person").err, UNSTABLE +
          "Error: the following required arguments were not provided:\n  <query>\n\n"
          "Usage: worldline sql [database] <query> [--no-config]\n")
    user.remove()


def test_project_with_several_databases(w):
    user = User(w.host.url)
    user.ok("login", "--token", re.search('spacetimedb_token = "(.*)"', w.owner.read_config()).group(1))
    project(user, spacetime={"database": "people", "server": w.host.url, "children": [{"database": "types"}, {}]})
    user.write_config(user.read_config().replace('default_server = "test"', 'default_server = "elsewhere"'))
    user.ok("call", "types", "log_levels")
    user.ok("sql", "people", "SELECT * FROM person WHERE id = 0")
    holds(user.fails("call", "log_levels").err,
        "Error: Multiple databases found in config: people, types. Please specify "
          "which database to use, or pass --no-config to use 'log_levels' directly.\n")
    holds(user.fails("logs").err, "  <database>\n")
    holds(user.fails("sql", "ad-hoc", "SELECT 1").err, "Default server does not refer to a saved server configuration")
    user.remove()


def test_project_publish(w):
    user = User(w.host.url)
    user.ok("login", "--server-issued-login", "test")
    shutil.copy(w.wasm, os.path.join(user.cwd, "m.wasm"))
    project(user, spacetime={"server": "test", "wasm-file": "m.wasm", "database": "proj-a",
                             "children": [{"database": "proj-b"}]})
    path = os.path.join(user.cwd, "spacetime.json")
    out = user.ok("publish").out
    assert out.startswith(f"Using configuration from {path}\nPublishing precompiled module to database 'proj-a'\n"), out
    for name in ("proj-a", "proj-b"):
        holds(out, f"Created new database with name: {name}, identity: ")
    out = user.ok("publish", "*-b").out
    holds(out, "Updated database with name: proj-b, identity: ")
    assert "proj-a" not in out
    holds(user.fails("publish", "other").err,
          "Error: No database target matches 'other'. Available databases: proj-a, proj-b\n")
    holds(user.fails("publish", "-b", w.wasm).err, "Error: Cannot use module-specific arguments (--bin-path)")
    project(user, spacetime={"server": "test", "wasm-file": "m.wasm", "database": "proj-a"})
    holds(user.ok("publish", "proj-c").out, "Created new database with name: proj-c, identity: ")
    project(user, spacetime={"server": "test", "database": "proj-a"})
    holds(user.fails("publish").err, "building a module from its sources is not supported by this version yet")
    project(user, spacetime={"server": "test", "database": "proj-a", "bin-path": "m.wasm"})
    holds(user.fails("publish").err, "Error: Config key 'bin-path' is not supported in the config file.")
    project(user, spacetime={"server": "test"})
    holds(user.fails("publish", "-b", w.wasm).err, "Required key 'database' is missing from the config file or CLI")
    user.ok("publish", "-b", w.wasm, "--no-config", "proj-d")
    project(user, spacetime="{ nope")
    holds(user.fails("publish", "-b", w.wasm, "x").err, f"Error: Failed to parse config file {path}")
    user.remove()


def test_publish_environment(w):
    user = User(w.host.url)
    user.ok("login", "--server-issued-login", "test")
    module = os.path.join(MODULES, "env214.wasm")

    def stored(name):
        token = re.search('spacetimedb_token = "(.*)"', user.read_config()).group(1)
        answer = w.host.request("POST", f"/v1/database/{name}/sql", b"SELECT * FROM st_env", token)[1]
        return dict(json.loads(answer)[0]["rows"])

    holds(user.fails("publish", "-b", module, "cli-env").err, "Missing required environment variable(s) [API_KEY]")
    secret = 'a "b" \N{EURO SIGN}\U0001F600'
    out = user.ok("publish", "-b", module, "cli-env", env={"API_KEY": secret, "NOTE": "not asked for"}).out
    holds(out, "Environment API_KEY (shell)\n")
    assert "EURO" not in out and '"b"' not in out, out
    equal(stored("cli-env"), {"API_KEY": secret})
    project(user, spacetime={"server": "test", "database": "cli-env", "env": {"NOTE": 1.50, "LEVEL": "info"},
                             "children": [{"database": "cli-env-b", "env": {"API_KEY": True}}]},
            spacetime_dev={"env": {"LEVEL": "debug"}})
    holds(user.fails("publish", "--env-only", "cli-env", "--env", "none").err, "declared string constraint")
    out = user.ok("publish", "--env-only", "cli-env", "--env", "dev", env={"NOTE": "shell's"}).out
    holds(out, "Environment NOTE (shell)\n")
    holds(out, "Environment LEVEL (config)\n")
    holds(out, "Successfully updated environment\n")
    equal(stored("cli-env"), {"API_KEY": secret, "LEVEL": "debug", "NOTE": "shell's"})
    user.ok("publish", "--no-config", "--env-only", "--unset-env", "NOTE", "--unset-env", "LEVEL", "cli-env")
    equal(stored("cli-env"), {"API_KEY": secret})
    holds(user.fails("publish", "--no-config", "--env-only", "--replace-env", "cli-env").err,
          "Missing required environment variable(s) [API_KEY]")
    user.ok("publish", "--no-config", "--env-only", "--replace-env", "cli-env", env={"API_KEY": ""})
    equal(stored("cli-env"), {"API_KEY": ""})
    user.ok("publish", "-b", module, "cli-env-b", "--env", "dev")
    equal(stored("cli-env-b"), {"API_KEY": "true", "LEVEL": "debug", "NOTE": "1.5"})
    user.fails("publish", "--env-only", "-b", module, "cli-env", status=2)
    holds(user.fails("publish", "--env-only", "--no-config").err, "--env-only needs the name or identity of a database")
    user.remove()


# ---- start ----

def test_start_has_places_of_its_own(w):
    user = User()
    port = free_port()
    user.write_config(f'listen_addr = "127.0.0.1:{port}"\n')
    process = user.start("start", "--non-interactive")
    line = ""
    while "Starting SpacetimeDB listening on" not in line:
        line = process.stdout.readline()
        assert line, process.stderr.read()
    holds(line, f"127.0.0.1:{port}")
    user.ok("server", "ping", f"http://127.0.0.1:{port}")
    assert os.path.exists(os.path.join(user.home, "data", "spacetime", "data", "metadata.toml"))
    assert os.path.exists(os.path.join(user.home, "config", "spacetime", "id_ecdsa"))
    process.terminate()
    process.communicate(timeout=60)
    equal(process.returncode, 0)
    user.remove()


def main(words):
    tests = [(name, fn) for name, fn in list(globals().items()) if name.startswith("test_")
             and (not words or any(word in name for word in words))]
    passed = failed = 0
    for module in ("quickstart", "types283"):
        if not os.path.exists(os.path.join(MODULES, module + ".wasm")):
            subprocess.run([os.path.join(ROOT, "tests", "modules", "build.sh"), module], check=True)
    with Host(FLAVOR) as host:
        world = World(host)
        for name, fn in tests:
            try:
                fn(world)
                passed += 1
            except Exception:
                failed += 1
                print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
        world.owner.remove()
        if not host.alive():
            failed += 1
            print("FAIL the host ended")
        if failed:
            print(f"the host's output ends with:\n{host.log()[-5000:]}")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
