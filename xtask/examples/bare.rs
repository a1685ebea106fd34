//! What a route of axum costs that answers with bytes which it already has: `bare BODY`. Prints its address.
//!
//! The service's own answer is held against it. As many workers as the service has, no middleware, no state.

#![allow(clippy::print_stdout, reason = "whoever starts it reads the address from there")]

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

/// As many as the service has.
const WORKERS: usize = 2;

fn main() -> anyhow::Result<()> {
    let body: &'static str = std::env::args().nth(1).unwrap_or_default().leak();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("http://{}", listener.local_addr()?);
        let answer = async move || ([(CONTENT_TYPE, "application/json")], body);
        axum::serve(listener, Router::new().route("/cleanup/stats", get(answer))).await?;
        Ok(())
    })
}
