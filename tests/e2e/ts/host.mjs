// SPDX-License-Identifier: Apache-2.0
/*
 * A host to test: where it is, how a module gets there, how a connection is opened.
 *
 *   WORLDLINE_URL       the host, http://127.0.0.1:3000
 *   WORLDLINE_DB        the database, `types`
 *   WORLDLINE_MODULE    a .wasm file that is published there first (cleared), if given
 *   WORLDLINE_RESTART   a shell command that restarts the host on the same data and returns
 *                       when it runs again; without it the tests that need it are skipped
 *   WORLDLINE_SLOW      a factor for all times waited for: hosts under sanitizers
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import WebSocket from 'ws';
import {
  BinaryReader,
  BinaryWriter,
  AlgebraicType,
  DbConnectionBuilder,
  DbConnectionImpl,
  procedures,
  reducerSchema,
  reducers,
  schema,
  setGlobalLogLevel,
  table,
  t,
} from 'spacetimedb';

export const url = process.env.WORLDLINE_URL ?? 'http://127.0.0.1:3000';
export const database = process.env.WORLDLINE_DB ?? 'types';
export const canRestart = Boolean(process.env.WORLDLINE_RESTART);
export const slow = Number(process.env.WORLDLINE_SLOW ?? 1);

setGlobalLogLevel('error');

// The SDK offers its protocols newest first; a test may insist on one. Connections are made one after the other.
let protocolWanted;
let socket;
globalThis.WebSocket = class extends WebSocket {
  constructor(address, protocols) {
    super(address, protocolWanted ? [protocolWanted] : protocols);
    socket = this;
    this.compressions = new Set(); // the first byte of each message: 0 none, 1 Brotli, 2 gzip
    this.on('message', data => this.compressions.add(new Uint8Array(data)[0]));
  }
  // The SDK unpacks messages side by side, so that a small one may overtake a large one: here they wait.
  set onmessage(handler) {
    let last = Promise.resolve();
    super.onmessage = event => (last = last.then(() => handler(event)));
  }
};

/** snake_case as the host converts names: digits are words of their own. */
export function canonical(name) {
  return name
    .replace(/([a-z])([0-9])/g, '$1_$2')
    .replace(/([0-9])([a-z])/g, '$1_$2')
    .toLowerCase();
}

/** The name under which the SDK offers a table or reducer. */
export function accessor(name) {
  return name.replace(/_([a-z0-9])/g, (_, c) => c.toUpperCase());
}

let remoteModule;

/** What the module declares, as types.mjs and live.mjs say it; before the first connection. */
export function declare({ tables, reducers: calls }) {
  remoteModule = {
    versionInfo: { cliVersion: '2.8.3' },
    tables: schema(
      Object.fromEntries(
        tables.map(([name, row, options]) => [
          accessor(name),
          table({ name: canonical(name), indexes: [], constraints: [], ...options }, t.row(row)),
        ])
      )
    ).schemaType.tables,
    reducers: reducers(...calls.map(([name, params]) => reducerSchema(canonical(name), params)))
      .reducersType.reducers,
    ...procedures(),
  };
}

/** What a value looks like after a trip through BSATN. */
export function travelled(type, value) {
  const writer = new BinaryWriter(64);
  AlgebraicType.makeSerializer(type.algebraicType)(writer, value);
  return AlgebraicType.makeDeserializer(type.algebraicType)(new BinaryReader(writer.getBuffer()));
}

async function checked(response) {
  const body = await response.text();
  if (!response.ok) {
    throw new Error(`${response.url}: ${response.status} ${body}`);
  }
  return body;
}

let owner;

/** The token of the identity that publishes; null when the module was there before. */
export function ownerToken() {
  return owner?.token ?? null;
}

/** A fresh database, every time with the same owner. */
export async function publish() {
  const file = process.env.WORLDLINE_MODULE;
  if (!file) {
    return;
  }
  owner ??= JSON.parse(await checked(await fetch(`${url}/v1/identity`, { method: 'POST' })));
  await checked(
    await fetch(`${url}/v1/database/${database}?clear=true`, {
      method: 'PUT',
      headers: { Authorization: `Bearer ${owner.token}` },
      body: await readFile(file),
    })
  );
}

export async function sql(query, token) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  return JSON.parse(
    await checked(
      await fetch(`${url}/v1/database/${database}/sql`, { method: 'POST', headers, body: query })
    )
  );
}

/** `how` is TERM or KILL. */
export async function restart(how = 'TERM') {
  await promisify(execFile)('/bin/sh', ['-c', `${process.env.WORLDLINE_RESTART} ${how}`]);
}

export function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms * slow} ms`)), ms * slow);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Polls until `condition` is true: for what has no callback. */
export async function until(condition, what, ms = 10_000) {
  for (const end = Date.now() + ms * slow; Date.now() < end; ) {
    if (await condition()) {
      return;
    }
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  throw new Error(`${what}: not within ${ms * slow} ms`);
}

/** Resolves to a connection that the host has greeted. `closed` resolves when it ends, `socket` is what carries it. */
export function connect({ compression = 'none', protocol, token, light = false, confirmed } = {}) {
  return within(
    10_000,
    new Promise((resolve, reject) => {
      let end;
      const closed = new Promise(done => (end = done));
      protocolWanted = protocol;
      const builder = new DbConnectionBuilder(
        remoteModule,
        config => new DbConnectionImpl(config)
      );
      if (confirmed !== undefined) {
        builder.withConfirmedReads(confirmed);
      }
      builder
        .withUri(url)
        .withDatabaseName(database)
        .withToken(token)
        .withCompression(compression)
        .withLightMode(light)
        .onConnect((connection, identity, newToken) => {
          resolve(Object.assign(connection, { closed, token: newToken, identity, socket }));
        })
        .onConnectError((_context, error) => reject(error))
        .onDisconnect((_context, error) => end(error))
        .build();
    }),
    'connect'
  );
}

/** Subscribes to queries and resolves to the handle when their rows are there. */
export function subscribe(connection, queries) {
  return within(
    20_000,
    new Promise((resolve, reject) => {
      const handle = connection
        .subscriptionBuilder()
        .onApplied(() => resolve(handle))
        .onError(context => reject(context.event))
        .subscribe(queries);
    }),
    `subscribe ${queries}`
  );
}

export async function close(connection) {
  connection.disconnect();
  await within(5_000, connection.closed, 'disconnect');
}

/** The next row event of a table, one of the kinds given: ['insert', row] or ['update', old, new]. */
export function next(tableCache, ...kinds) {
  return within(
    10_000,
    new Promise(resolve => {
      const remove = [];
      for (const kind of kinds) {
        const name = kind[0].toUpperCase() + kind.slice(1);
        const callback = (_context, ...rows) => {
          remove.forEach(stop => stop());
          resolve([kind, ...rows]);
        };
        tableCache[`on${name}`](callback);
        remove.push(() => tableCache[`removeOn${name}`](callback));
      }
    }),
    `next ${kinds}`
  );
}
