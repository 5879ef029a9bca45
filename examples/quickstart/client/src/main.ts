// SPDX-License-Identifier: Apache-2.0
/*
 * Connects with the official SDK, shows everybody who is there, adds one person and ends when the
 * new row has arrived. With --watch it stays and shows every change.
 *
 *   npm start -- [--watch] [URI] [DATABASE] [NAME]
 *
 * WORLDLINE_URL, WORLDLINE_DB and WORLDLINE_TOKEN stand in for what is not given.
 */
import { setGlobalLogLevel } from "spacetimedb";
import WebSocket from "ws";
import { DbConnection, type Person } from "./module_bindings";

// Node has no WebSocket of its own before version 22.
globalThis.WebSocket ??= WebSocket as unknown as typeof globalThis.WebSocket;

setGlobalLogLevel("warn");

const watch = process.argv.includes("--watch");
const words = process.argv.slice(2).filter(word => !word.startsWith("--"));
const uri = words[0] ?? process.env.WORLDLINE_URL ?? "http://127.0.0.1:3000";
const database = words[1] ?? process.env.WORLDLINE_DB ?? "quickstart";
const name = words[2] ?? "Ada";

function show(what: string, person: Person): void {
  console.log(`${what} #${person.id} ${person.name}`);
}

function fail(why: string): never {
  console.error(`client: ${why}`);
  process.exit(1);
}

const timeout = setTimeout(() => fail("no answer within 20 seconds"), 20_000);

function done(connection: DbConnection): void {
  clearTimeout(timeout);
  if (!watch) {
    connection.disconnect();
  }
}

function subscribe(connection: DbConnection): void {
  const person = connection.db.person;
  person.onInsert((context, row) => {
    show(context.event.tag === "SubscribeApplied" ? "is here:" : "arrived:", row);
  });
  person.onUpdate((_context, old, row) => show(`${old.name} is now`, row));
  person.onDelete((_context, row) => show("left:", row));
  connection
    .subscriptionBuilder()
    .onApplied(async () => {
      console.log(`subscribed, ${person.count()} persons`);
      try {
        await connection.reducers.add({ name });
      } catch (error) {
        fail(`add: ${error}`);
      }
      done(connection);
    })
    .onError(context => fail(`subscribe: ${context.event}`))
    .subscribe("SELECT * FROM person");
}

DbConnection.builder()
  .withUri(uri)
  .withDatabaseName(database)
  .withToken(process.env.WORLDLINE_TOKEN)
  .onConnect((connection, identity) => {
    console.log(`connected to ${database} as ${identity.toHexString()}`);
    subscribe(connection);
  })
  .onConnectError((_context, error) => fail(`connect: ${error.message}`))
  .onDisconnect((_context, error) => {
    if (error || watch) {
      fail(`disconnected: ${error?.message ?? "by the host"}`);
    }
    console.log("disconnected");
  })
  .build();
