// SPDX-License-Identifier: Apache-2.0
//! Reducers that fail, each in its way, and what is left of them: nothing.

use super::{select, unique};
use crate::bindings::*;
use crate::client::Client;
use crate::module::*;
use crate::run::Run;
use spacetimedb_sdk::{Compression, Status};
use std::sync::mpsc::channel;

pub fn all(run: &mut Run) {
    let client = Client::with(Compression::Brotli, &[select::<Bag>()]);
    run.check("an error that the module returns", || returned(&client));
    run.check("a panic", || panics(&client));
    run.check("what the callback of a reducer is told", || told(&client));
    run.check("a reducer that is not there", || {
        let text = client.broken(no_such_reducer());
        assert!(text.contains("no such reducer"), "{text}");
        works(&client);
    });
    run.check("arguments that do not fit", || {
        let text = client.broken(put_too_little_in_bag());
        assert!(text.contains("invalid arguments for reducer put_in_bag"), "{text}");
        works(&client);
        // What follows the arguments is not looked at.
        let text = unique("more");
        client.call(put_too_much_in_bag(text.clone(), 1));
        assert!(client.rows::<Bag>().contains(&Bag { text }));
    });
    for (name, call) in [
        ("a stack that overflows", overflow_stack()),
        ("memory without end", allocate_forever()),
        ("a loop without end", loop_forever()),
    ] {
        run.check(name, || {
            let text = client.broken(call);
            assert!(!text.is_empty());
            works(&client);
        });
    }
    client.close();
}

/// The next call finds a whole module.
fn works(client: &Client) {
    let text = unique("works");
    client.call(put_in_bag(text.clone()));
    assert!(client.rows::<Bag>().contains(&Bag { text }));
}

fn returned(client: &Client) {
    let texts = [unique("sorry"), String::new(), "Gr\u{fc}\u{df}e \u{1f30d}".into(), "x".repeat(100_000)];
    for text in texts {
        let watch = client.watch_stored::<Bag>();
        assert_eq!(client.refused(fail(text.clone())), text);
        watch.quiet();
        assert!(!client.rows::<Bag>().contains(&Bag { text: format!("fail {text}") }));
    }
    works(client);
}

fn panics(client: &Client) {
    let text = unique("oh");
    let watch = client.watch_stored::<Bag>();
    assert_eq!(client.broken(panic(text.clone())), "The instance encountered a fatal error.");
    watch.quiet();
    assert!(!client.rows::<Bag>().contains(&Bag { text: format!("panic {text}") }));
    works(client);
}

fn told(client: &Client) {
    let text = unique("told");
    let status = |call: Call| {
        let (say, said) = channel();
        let (name, args) = (call.name, call.args.clone());
        client
            .connection
            .reducers
            .call_then(call, move |context, _| {
                assert_eq!((context.event.reducer.name, &context.event.reducer.args), (name, &args));
                let age = context.event.timestamp.duration_since(spacetimedb_sdk::Timestamp::UNIX_EPOCH);
                let now = spacetimedb_sdk::Timestamp::now().duration_since(spacetimedb_sdk::Timestamp::UNIX_EPOCH);
                let (age, now) = (age.unwrap().as_secs(), now.unwrap().as_secs());
                assert!(age.abs_diff(now) < 600, "the host says it is {age}, here it is {now}");
                say.send((context.event.status.clone(), context.db.bag().count())).unwrap_or_default();
            })
            .unwrap();
        client.wait(10, &said, "the end of the callback")
    };
    let before = client.connection.db.bag().count();
    // The callback runs when the rows of its call are in the cache.
    assert!(matches!(status(put_in_bag(text.clone())), (Status::Committed, n) if n == before + 1));
    assert!(matches!(status(fail(text.clone())), (Status::Err(error), n) if error == text && n == before + 1));
    assert!(matches!(status(panic(text)), (Status::Panic(_), n) if n == before + 1));
}
