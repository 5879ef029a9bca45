// SPDX-License-Identifier: Apache-2.0
//! Procedures, and handlers of HTTP requests.

use crate::{journal, AllTypes, Errand, Journal};
use spacetimedb::http::{handler, router, Body, HandlerContext, Request, Response, Router};
use spacetimedb::{procedure, ProcedureContext, Table, TimeDuration};

#[procedure]
pub fn sum(_ctx: &mut ProcedureContext, a: u32, b: u32) -> u32 {
    a + b
}

#[procedure]
pub fn echo_all(_ctx: &mut ProcedureContext, row: AllTypes) -> AllTypes {
    row
}

#[procedure]
pub fn keep(ctx: &mut ProcedureContext, text: String) -> u64 {
    ctx.with_tx(|tx| tx.db.journal().insert(Journal { id: 0, text: text.clone() }).id)
}

#[procedure]
pub fn give_up(ctx: &mut ProcedureContext, text: String) -> String {
    let answer: Result<(), String> = ctx.try_with_tx(|tx| {
        tx.db.journal().insert(Journal { id: 0, text: text.clone() });
        Err("given up".into())
    });
    answer.unwrap_err()
}

#[procedure]
pub fn nap(ctx: &mut ProcedureContext, micros: i64) -> i64 {
    let before = ctx.timestamp;
    ctx.sleep_until(before + TimeDuration::from_micros(micros));
    ctx.timestamp.to_micros_since_unix_epoch() - before.to_micros_since_unix_epoch()
}

#[procedure]
pub fn fetch(ctx: &mut ProcedureContext, url: String) -> String {
    match ctx.http.get(url.as_str()) {
        Ok(answer) => format!("{} {}", answer.status().as_u16(), answer.into_body().into_string_lossy()),
        Err(error) => format!("error: {error}"),
    }
}

#[procedure]
pub fn break_down(_ctx: &mut ProcedureContext, text: String) -> u32 {
    panic!("{text}");
}

#[procedure]
pub fn on_errand(ctx: &mut ProcedureContext, row: Errand) {
    ctx.with_tx(|tx| {
        tx.db.journal().insert(Journal { id: 0, text: format!("errand {}", row.text) });
    });
}

#[handler]
fn hello(_ctx: &mut HandlerContext, _request: Request) -> Response {
    http::Response::builder().header("content-type", "text/plain").body(Body::from("hello".to_string())).unwrap()
}

#[handler]
fn note_down(ctx: &mut HandlerContext, request: Request) -> Response {
    let text = request.into_body().into_string_lossy();
    let id = ctx.with_tx(|tx| tx.db.journal().insert(Journal { id: 0, text: text.clone() }).id);
    Response::new(Body::from(id.to_string()))
}

#[handler]
fn echo(_ctx: &mut HandlerContext, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let text = format!("{} {}", parts.method, body.into_string_lossy());
    http::Response::builder().status(201).header("x-everything", "yes").body(Body::from(text)).unwrap()
}

#[handler]
fn crash_handler(_ctx: &mut HandlerContext, _request: Request) -> Response {
    panic!("in a handler");
}

#[cfg(not(feature = "later"))]
#[router]
fn routes() -> Router {
    Router::new().get("/hello", hello).post("/journal", note_down).any("/echo", echo).get("/crash", crash_handler)
}

#[cfg(feature = "later")]
#[handler]
fn whoami(ctx: &mut HandlerContext, _request: Request) -> Response {
    Response::new(Body::from(ctx.sender().to_hex().to_string()))
}

#[cfg(feature = "later")]
#[router]
fn routes() -> Router {
    Router::new().get("/hello", hello).post("/journal", note_down).any("/echo", echo).get("/crash", crash_handler)
        .get("/whoami", whoami)
}
