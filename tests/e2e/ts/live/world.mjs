// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests of live queries share: a fresh database for each, ways to look at a client's cache, and ears for what
 * the SDK complains of. Expectations are computed by the tests, from what was written.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach } from 'node:test';
import { Identity, setGlobalLogLevel } from 'spacetimedb';
import { accessor, close, connect, declare, publish, slow, within } from '../host.mjs';
import { reducers, tables } from './module.mjs';

declare({ tables, reducers });

// The SDK logs when it is told to delete or update what it does not have, and goes on: here it is a failure.
setGlobalLogLevel('warn');
const complaints = [];
const log = console.log;
console.log = (first, ...rest) => (/%c.*(ERROR|WARN)/.test(first) ? complaints.push(first) : log(first, ...rest));

let opened = [];

beforeEach(publish, { timeout: 60_000 * slow });
afterEach(async () => {
  await Promise.all(opened.filter(connection => connection.isActive).map(close));
  opened = [];
  assert.deepEqual(complaints.splice(0), [], 'the SDK has nothing to complain of');
});

/** As `connect`; closed when the test ends, if it is open then. */
export async function client(options) {
  const connection = await connect(options);
  opened.push(connection);
  return connection;
}

export const clients = async (count, options) => {
  const all = [];
  for (let i = 0; i < count; i++) {
    all.push(await client(options));
  }
  return all;
};

/** Calls a reducer by its name in the module; the result has arrived when this resolves. */
export const call = (connection, name, args = {}) =>
  within(20_000, connection.reducers[accessor(name)](args), name);

/** One transaction of several changes: `change(connection, ['DropTeam', 3], …)`. */
export const change = (connection, ...changes) =>
  call(connection, 'change', { changes: changes.map(([tag, value]) => ({ tag, value })) });

/** What was committed before is in the cache after: answers come behind what they followed. */
export const settle = (...connections) =>
  Promise.all(connections.map(connection => call(connection, 'drop_player', { id: 4294967295 })));

export const all = table => [...table.iter()];
export const ids = table => all(table).map(row => Number(row.id)).sort((a, b) => a - b);

/** A value as a text that says all of it: for comparisons and complaints. */
export function text(value) {
  return JSON.stringify(value, (_, part) => {
    if (part instanceof Identity) {
      return part.toHexString();
    }
    return typeof part === 'bigint' ? Number(part) : part;
  });
}

/** All rows of a table, as texts in order. */
export const rows = table => all(table).map(text).sort();

/** After everything that was committed so far, the table has just these ids. */
export async function shows(connection, table, expected, what) {
  await settle(connection);
  const wanted = [...expected].sort((a, b) => a - b);
  assert.deepEqual(ids(connection.db[table]), wanted, `${table}: ${what}`);
}

/** Every row event of a table from now on, as ['insert', id] and the like. */
export function record(table, key = row => Number(row.id)) {
  const events = [];
  table.onInsert((_context, row) => events.push(['insert', key(row)]));
  table.onDelete((_context, row) => events.push(['delete', key(row)]));
  table.onUpdate?.((_context, before, after) => events.push(['update', key(before), key(after)]));
  return events;
}

export const unsubscribe = handle =>
  within(10_000, new Promise(end => handle.unsubscribeThen(end)), 'unsubscribe');

/** Resolves to the error that a subscription must end with. */
export function refused(connection, queries) {
  return within(
    10_000,
    new Promise((resolve, reject) => {
      connection
        .subscriptionBuilder()
        .onApplied(() => reject(new Error(`${queries} was accepted`)))
        .onError(context => resolve(context.event))
        .subscribe(queries);
    }),
    'refusal'
  );
}

export const people = [
  { id: 1, name: 'ann', team: 1, score: 5 },
  { id: 2, name: "o'bob", team: 1, score: -3 },
  { id: 3, name: 'cyd', team: 2, score: 120 },
  { id: 4, name: '', team: 3, score: 0 },
  { id: 5, name: 'ev\u00e9', team: 2, score: 101 },
];

export const fill = connection =>
  change(
    connection,
    ...people.map(person => ['PutPlayer', person]),
    ...[1, 2].map(id => ['PutTeam', { id, title: `team ${id}` }])
  );

const protocols = ['v2.bsatn.spacetimedb', 'v3.bsatn.spacetimedb'];
export const ways = protocols.flatMap(protocol =>
  ['none', 'gzip'].map(compression => ({ protocol, compression }))
);
