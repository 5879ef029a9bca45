// SPDX-License-Identifier: Apache-2.0
//! The host to test: where it is, how a module gets there.
//!
//!   WORLDLINE_URL       the host, http://127.0.0.1:3000
//!   WORLDLINE_DB        the database, `types`
//!   WORLDLINE_MODULE    a .wasm file that is published there first (cleared), if given
//!   WORLDLINE_RESTART   a shell command that restarts the host on the same data and returns when
//!                       it runs again; without it the checks that need it are left out
//!   WORLDLINE_SLOW      a factor for all times waited for: hosts under sanitizers

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

fn variable(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.into())
}

pub fn url() -> String {
    variable("WORLDLINE_URL", "http://127.0.0.1:3000")
}

pub fn database() -> String {
    variable("WORLDLINE_DB", "types")
}

pub fn can_restart() -> bool {
    std::env::var_os("WORLDLINE_RESTART").is_some()
}

pub fn restart() {
    restart_by("TERM");
}

/// `signal` is TERM or KILL.
pub fn restart_by(signal: &str) {
    let command = std::env::var("WORLDLINE_RESTART").expect("WORLDLINE_RESTART is set");
    let done = Command::new("/bin/sh").arg("-c").arg(format!("{command} {signal}")).output().expect("a shell");
    assert!(done.status.success(), "restart: {}", String::from_utf8_lossy(&done.stderr));
}

/// How long to wait for what takes `seconds` at most on a host that is not slowed down.
pub fn patience(seconds: u64) -> Duration {
    let factor: u64 = variable("WORLDLINE_SLOW", "1").parse().expect("WORLDLINE_SLOW is a number");
    Duration::from_secs(seconds * factor)
}

/// One HTTP request; the body of the answer, or its status line and body as an error.
fn request(method: &str, path: &str, token: Option<&str>, body: &[u8]) -> Result<String, String> {
    let url = url();
    let authority = url.strip_prefix("http://").expect("an http:// address").trim_end_matches('/');
    let mut stream = TcpStream::connect(authority).map_err(|e| format!("{authority}: {e}"))?;
    let authorization = token.map(|t| format!("Authorization: Bearer {t}\r\n")).unwrap_or_default();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\
         {authorization}Content-Length: {length}\r\n\r\n"
    );
    let mut answer = Vec::new();
    stream
        .write_all(head.as_bytes())
        .and_then(|_| stream.write_all(body))
        .and_then(|_| stream.read_to_end(&mut answer))
        .map_err(|e| format!("{method} {path}: {e}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("not HTTP: {answer}"))?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1).is_some_and(|code| code.starts_with('2')) {
        Ok(body.into())
    } else {
        Err(format!("{method} {path}: {status}: {body}"))
    }
}

/// The string of a member of a flat JSON object.
fn member(json: &str, name: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{name}\""))?;
    Some(rest.split('"').nth(1)?.into())
}

static OWNER: OnceLock<String> = OnceLock::new();

/// The token of the identity that publishes; none when the module was there before.
#[allow(dead_code)]
pub fn owner() -> Option<String> {
    OWNER.get().cloned()
}

/// A fresh database, every time with the same owner.
pub fn publish() -> Result<(), String> {
    let Ok(file) = std::env::var("WORLDLINE_MODULE") else { return Ok(()) };
    let module = std::fs::read(&file).map_err(|e| format!("{file}: {e}"))?;
    if OWNER.get().is_none() {
        let identity = request("POST", "/v1/identity", None, b"")?;
        let token = member(&identity, "token").ok_or_else(|| format!("no token in {identity}"))?;
        OWNER.get_or_init(|| token);
    }
    request("PUT", &format!("/v1/database/{}?clear=true", database()), OWNER.get().map(String::as_str), &module)?;
    Ok(())
}
