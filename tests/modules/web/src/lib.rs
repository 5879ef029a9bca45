// SPDX-License-Identifier: Apache-2.0
//! HTTP in both directions: a procedure that asks, and handlers that answer.

use spacetimedb::http::{handler, router, Body, HandlerContext, Request, Response, Router, Timeout};
use spacetimedb::{procedure, table, ProcedureContext, SpacetimeType, Table, TimeDuration};

#[table(accessor = visit, public)]
pub struct Visit {
    #[primary_key]
    #[auto_inc]
    id: u64,
    text: String,
}

#[derive(SpacetimeType)]
pub struct Answer {
    status: u16,
    headers: Vec<String>,
    body: String,
    length: u64,
    error: String,
}

/// Long bodies come back as their length alone.
#[procedure]
pub fn ask(
    ctx: &mut ProcedureContext,
    method: String,
    url: String,
    headers: Vec<String>,
    body: String,
    ms: i64,
) -> Answer {
    let mut request = http::Request::builder().method(method.as_str()).uri(url);
    for header in &headers {
        let (name, value) = header.split_once(": ").expect("a header");
        request = request.header(name, value);
    }
    if ms > 0 {
        request = request.extension(Timeout(TimeDuration::from_micros(ms * 1000)));
    }
    match ctx.http.send(request.body(Body::from(body)).expect("a request")) {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let bytes = body.into_bytes();
            let show = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                format!("{name}: {}", value.to_str().unwrap_or("?"))
            };
            Answer {
                status: parts.status.as_u16(),
                headers: parts.headers.iter().map(show).collect(),
                length: bytes.len() as u64,
                body: String::from_utf8_lossy(&bytes[..bytes.len().min(1000)]).into_owned(),
                error: String::new(),
            }
        }
        Err(error) => Answer { status: 0, headers: vec![], body: String::new(), length: 0, error: error.to_string() },
    }
}

/// A request with a transaction open is refused.
#[procedure]
pub fn ask_within(ctx: &mut ProcedureContext, url: String) -> String {
    let http = &ctx.http;
    let _ = http;
    ctx.with_tx(|tx| {
        tx.db.visit().insert(Visit { id: 0, text: format!("asking {url}") });
    });
    match ctx.http.get(url.as_str()) {
        Ok(response) => format!("{} {}", response.status().as_u16(), response.into_body().into_string_lossy()),
        Err(error) => error.to_string(),
    }
}

#[handler]
fn echo(_ctx: &mut HandlerContext, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut text = format!("{} {} {:?}\n", parts.method, parts.uri, parts.version);
    for (name, value) in &parts.headers {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    text += &String::from_utf8_lossy(&body.into_bytes());
    http::Response::builder().status(203).header("x-made-by", "echo").header("content-type", "text/echo")
        .body(Body::from(text)).unwrap()
}

#[handler]
fn note(ctx: &mut HandlerContext, request: Request) -> Response {
    let text = request.into_body().into_string_lossy();
    let id = ctx.with_tx(|tx| tx.db.visit().insert(Visit { id: 0, text: text.clone() }).id);
    Response::new(Body::from(id.to_string()))
}

#[handler]
fn fail(_ctx: &mut HandlerContext, _request: Request) -> Response {
    panic!("not today");
}

#[handler]
fn large(_ctx: &mut HandlerContext, request: Request) -> Response {
    let count: usize = request.uri().query().and_then(|q| q.parse().ok()).unwrap_or(0);
    Response::new(Body::from(vec![b'x'; count]))
}

#[router]
fn routes() -> Router {
    Router::new().get("/echo", echo).post("/echo", echo).any("/any", echo).post("/note", note).get("/fail", fail)
        .get("/large", large)
}
