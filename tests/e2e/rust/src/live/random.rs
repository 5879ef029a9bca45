// SPDX-License-Identifier: Apache-2.0
//! Goal: whatever clients do in whatever order, each cache is the union of its subscriptions over the world as it is,
//! and row events alone lead there: every one of them fits the rows that the events before it left.
//! Method: random transactions, subscriptions, ends and reconnects of several people, some at the same time; a model of
//! the module (model.rs) says what each must show. WORLDLINE_SEED repeats one life.

use crate::bindings::*;
use crate::client::{Client, Options};
use crate::host;
use crate::model::{Eyes, Query, World, QUERIES};
use crate::module::*;
use spacetimedb_sdk::Compression;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Runs one life for each seed; gives its name and what it does.
pub fn seeds() -> Vec<u64> {
    match std::env::var("WORLDLINE_SEED") {
        Ok(seed) => vec![seed.parse().expect("WORLDLINE_SEED is a number")],
        Err(_) => vec![1, 2, 3, 4],
    }
}

/// SplitMix64: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % n as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn change(&mut self) -> Change {
        let (id, team) = (self.below(8) as u32, self.below(5) as u32);
        let label = ["a", "b", "c", "d"][self.below(4)].to_string();
        let remark = Remark { text: label.clone(), weight: self.below(5) as i64 };
        match self.below(16) {
            0..2 => {
                let score = [-5, 5, 25, 45, 101, 200][self.below(6)];
                Change::PutPlayer(NewPlayer { id, name: format!("p{id}"), team, score })
            }
            2..4 => Change::DropPlayer(id),
            4 => Change::PutTeam(Team { id: team, title: label }),
            5 => Change::DropTeam(team),
            6 => Change::PutNode(Node { id, parent: self.below(8) as u32, label, open: self.chance(50) }),
            7 => Change::DropNode(id),
            8 => Change::PutRemark(remark),
            9 => Change::DropRemark(remark),
            10 => Change::WriteNote(NewNote { id: id.into(), team, text: label }),
            11 => Change::DropNote(id.into()),
            12 => Change::PutReply(Reply { id, note: self.below(8) as u64, text: label }),
            13 => Change::DropReply(id),
            14 => Change::JoinTeam(team),
            _ => Change::LeaveTeam(team),
        }
    }

    fn changes(&mut self) -> Vec<Change> {
        let mut all: Vec<_> = (0..1 + self.below(5)).map(|_| self.change()).collect();
        if self.chance(10) {
            let at = self.below(all.len() + 1);
            all.insert(at, Change::Fail("no".into()));
        }
        all
    }
}

/// A copy of a connection's tables from row events alone: encoded rows by table, and what did not fit.
#[derive(Default)]
struct Copy {
    rows: BTreeMap<&'static str, BTreeSet<Vec<u8>>>,
    faults: Vec<String>,
}

impl Copy {
    fn put<R: Row>(&mut self, row: &R) {
        if !self.rows.entry(R::TABLE).or_default().insert(row.bytes()) {
            self.faults.push(format!("inserted twice: {row:?}"));
        }
    }

    fn take<R: Row>(&mut self, row: &R) {
        if !self.rows.entry(R::TABLE).or_default().remove(&row.bytes()) {
            self.faults.push(format!("deleted, and was not there: {row:?}"));
        }
    }
}

fn follow<R: StoredRow>(client: &Client, copy: &Arc<Mutex<Copy>>) {
    let table = client.connection.db.table::<R>();
    let (put, take) = (copy.clone(), copy.clone());
    table.on_insert(move |_, row| put.lock().unwrap().put(row));
    table.on_delete(move |_, row| take.lock().unwrap().take(row));
}

fn follow_keyed<R: KeyedRow>(client: &Client, copy: &Arc<Mutex<Copy>>) {
    follow::<R>(client, copy);
    let change = copy.clone();
    client.connection.db.table::<R>().on_update(move |_, old, new| {
        let mut copy = change.lock().unwrap();
        copy.take(old);
        copy.put(new);
        if old.primary_key() != new.primary_key() {
            copy.faults.push(format!("{old:?} became {new:?}"));
        }
    });
}

struct Person {
    options: Options,
    owner: bool,
    client: Option<Client>,
    copy: Arc<Mutex<Copy>>,
    sets: Vec<(Vec<(&'static Query, u32)>, SubscriptionHandle)>,
}

impl Person {
    fn new(options: Options, owner: bool) -> Self {
        let mut person = Self { options, owner, client: None, copy: Arc::default(), sets: Vec::new() };
        person.arrive();
        person
    }

    fn arrive(&mut self) {
        if let Some(client) = self.client.take() {
            client.close();
        }
        let client = Client::new(self.options.clone());
        self.options.token = Some(client.token.clone());
        self.copy = Arc::default();
        self.sets.clear();
        follow_keyed::<Player>(&client, &self.copy);
        follow_keyed::<Team>(&client, &self.copy);
        follow_keyed::<Node>(&client, &self.copy);
        follow_keyed::<Note>(&client, &self.copy);
        follow_keyed::<Reply>(&client, &self.copy);
        follow_keyed::<MyPlayer>(&client, &self.copy);
        follow_keyed::<FirstPlayer>(&client, &self.copy);
        follow_keyed::<Winner>(&client, &self.copy);
        follow_keyed::<WinningTeam>(&client, &self.copy);
        follow::<Remark>(&client, &self.copy);
        follow::<Standing>(&client, &self.copy);
        client.settle();
        self.client = Some(client);
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("it has arrived")
    }

    fn subscribe(&mut self, random: &mut Random) {
        let set: Vec<_> =
            (0..1 + random.below(3)).map(|_| (&QUERIES[random.below(QUERIES.len())], random.below(6) as u32)).collect();
        let me = self.client().identity;
        let texts: Vec<_> = set.iter().map(|(query, k)| (query.sql)(*k, me)).collect();
        let handle = self.client().subscribe(&texts);
        self.sets.push((set, handle));
    }

    fn unsubscribe(&mut self, random: &mut Random) {
        let (_, handle) = self.sets.swap_remove(random.below(self.sets.len()));
        self.client().unsubscribe(handle);
    }

    fn come_or_go(&mut self, random: &mut Random) {
        if random.chance(50) && self.sets.len() < 6 {
            self.subscribe(random);
        } else if !self.sets.is_empty() {
            self.unsubscribe(random);
        }
    }

    fn check(&self, world: &World, when: &str) {
        let eyes = Eyes { identity: self.client().identity, owner: self.owner };
        let mut wanted = BTreeMap::<&str, BTreeSet<Vec<u8>>>::new();
        for (query, k) in self.sets.iter().flat_map(|(set, _)| set) {
            wanted.entry(query.table).or_default().extend((query.rows)(world, eyes, *k));
        }
        let copy = self.copy.lock().unwrap();
        assert!(copy.faults.is_empty(), "{when}: {:?}", copy.faults);
        macro_rules! compare {
            ($($Row:ident)*) => {
                $(let found: BTreeSet<_> = self.client().row_bytes::<$Row>().into_iter().collect();
                let due = wanted.remove($Row::TABLE).unwrap_or_default();
                let show = |rows: &BTreeSet<Vec<u8>>| rows.iter().map(|b| decoded::<$Row>(b)).collect::<Vec<_>>();
                assert!(found == due, "{when}: found {:?}, wanted {:?}", show(&found), show(&due));
                let told = copy.rows.get($Row::TABLE).cloned().unwrap_or_default();
                assert!(told == found, "{when}: by events {:?}, found {:?}", show(&told), show(&found));)*
            };
        }
        compare! { Player Team Node Note Reply MyPlayer FirstPlayer Winner WinningTeam Remark Standing }
    }
}

fn decoded<R: Row>(bytes: &[u8]) -> R {
    spacetimedb_sdk::__codegen::__lib::bsatn::from_slice(bytes).expect("rows can be decoded")
}

pub fn life(seed: u64, steps: u32) {
    let mut random = Random(seed);
    let options = |compression: Compression, token: Option<String>| Options { token, ..compression.into() };
    let mut people = vec![
        Person::new(options(Compression::Brotli, None), false),
        Person::new(options(Compression::Gzip, None), false),
        Person::new(options(Compression::None, host::owner()), true),
    ];
    let same = people[0].options.token.clone();
    people.push(Person::new(options(Compression::None, same), false));
    let mut world = World::default();
    for step in 0..steps {
        let who = random.below(people.len());
        let what = random.below(100);
        let did = if what < 20 && people[who].sets.len() < 6 {
            people[who].subscribe(&mut random);
            "a subscription"
        } else if what < 35 && !people[who].sets.is_empty() {
            people[who].unsubscribe(&mut random);
            "the end of a subscription"
        } else if what < 38 {
            people[who].arrive();
            "a reconnect"
        } else {
            // Transactions follow each other while others come and go: in the end all is as if one after the other.
            let several = what < 50;
            let mut calls = Vec::new();
            for _ in 0..if several { 4 } else { 1 } {
                let changes = random.changes();
                world = world.after(people[who].client().identity, &changes);
                let fails = changes.iter().any(|change| matches!(change, Change::Fail(_)));
                calls.push((fails, people[who].client().start(change(changes))));
            }
            for other in (0..people.len()).filter(|other| several && *other != who) {
                people[other].come_or_go(&mut random);
            }
            for (fails, call) in calls {
                let outcome = people[who].client().wait(20, &call, "change");
                assert!(matches!(outcome, Ok(result) if result.is_err() == fails), "an outcome");
            }
            if several {
                "several at once"
            } else {
                "a transaction"
            }
        };
        people.iter().for_each(|person| person.client().settle());
        people.iter().for_each(|person| person.check(&world, &format!("seed {seed}, step {step}, after {did}")));
    }
    people.into_iter().filter_map(|person| person.client).for_each(Client::close);
}
