// SPDX-License-Identifier: Apache-2.0
/*
 * Goal: what a module stores is what official clients see, for every column type, in every
 * encoding, across reconnects and restarts; and failures have the texts that clients expect.
 * Method: tests/modules/types283 or types214 behind a host, the official TypeScript SDK before it.
 * host.mjs says which variables name the host.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  accessor,
  canonical,
  canRestart,
  close,
  connect,
  declare,
  next,
  ownerToken,
  publish,
  restart,
  slow,
  sql,
  subscribe,
  travelled,
  until,
  within,
} from './host.mjs';
import { allColumns, allColumnsRow, columns, keys, reducers, tables } from './types.mjs';

declare({ tables, reducers });

const blue = { tag: 'Blue' };
const red = { tag: 'Red' };

let lastKey = Math.floor(Math.random() * 2 ** 31);
const newKey = () => ++lastKey;
const unique = text => `${text} ${newKey()}`;

const all = table => [...table.iter()];
const select = name => `SELECT * FROM ${canonical(name)}`;

/** Calls a reducer by its name in the module; the result has arrived when this resolves. */
function call(connection, name, args = {}) {
  return within(20_000, connection.reducers[accessor(name)](args), name);
}

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('the call succeeded');
}

before(publish, { timeout: 60_000 * slow });

const ways = [
  { compression: 'gzip', protocol: 'v3.bsatn.spacetimedb' },
  { compression: 'none', protocol: 'v3.bsatn.spacetimedb' },
  { compression: 'gzip', protocol: 'v2.bsatn.spacetimedb' },
  { compression: 'none', protocol: 'v2.bsatn.spacetimedb' },
];

for (const way of ways) {
  describe(`column types, ${way.compression}, ${way.protocol}`, () => {
    let writer, reader;
    before(async () => {
      writer = await connect(way);
      reader = await connect({ ...way, token: writer.token });
      const queries = columns.map(([name]) => select(name));
      await subscribe(writer, queries);
      await subscribe(reader, queries);
    });
    after(async () => {
      await close(writer);
      await close(reader);
    });

    for (const [name, type, values] of columns) {
      test(name, async () => {
        const key = newKey();
        const mine = writer.db[accessor(name)];
        const theirs = reader.db[accessor(name)];
        const rows = values.map(value => ({ key, value: travelled(type, value) }));
        const found = table => all(table).filter(row => row.key === key);

        let seen = next(theirs, 'insert');
        await call(writer, `insert_${name}`, { key, value: values[0] });
        assert.deepEqual(found(mine), [rows[0]]);
        assert.deepEqual(await seen, ['insert', rows[0]]);

        for (let i = 1; i < rows.length; i++) {
          if (name === 'one_nothing') {
            break; // a row that does not change is no event
          }
          seen = next(theirs, 'update');
          await call(writer, `update_${name}`, { key, value: values[i] });
          assert.deepEqual(found(mine), [rows[i]]);
          assert.deepEqual(await seen, ['update', rows[i - 1], rows[i]]);
        }

        const late = await connect(way);
        await subscribe(late, select(name));
        assert.deepEqual(found(late.db[accessor(name)]), found(mine));
        await close(late);

        seen = next(theirs, 'delete');
        await call(writer, `delete_${name}`, { key });
        assert.deepEqual(found(mine), []);
        assert.equal((await seen)[0], 'delete');
      });
    }
  });
}

describe('rows', () => {
  let client;
  before(async () => {
    client = await connect({ compression: 'gzip' });
    await subscribe(client, tables.map(([name]) => select(name)));
  });
  after(() => close(client));

  test('a table of all column types', async () => {
    const key = newKey();
    const found = () => all(client.db.allColumns).find(row => row.key === key);
    await call(client, 'insert_all_columns', { row: allColumnsRow(key, 0) });
    for (let n = 1; n < 8; n++) {
      await call(client, 'update_all_columns', { row: allColumnsRow(key, n) });
      const row = allColumnsRow(key, n);
      for (const [name, type] of Object.entries(allColumns)) {
        const plain = type.typeBuilder ?? type;
        assert.deepEqual(found()[name], travelled(plain, row[name]), `${name} of row ${n}`);
      }
    }
    await call(client, 'delete_all_columns', { key });
    assert.equal(found(), undefined);
  });

  test('a result that is an error', async () => {
    const key = newKey();
    await call(client, 'insert_one_result', { key, value: { ok: 1 } });
    await call(client, 'set_one_result_err', { key, text: 'no' });
    const found = all(client.db.oneResult).filter(row => row.key === key);
    assert.deepEqual(found, [{ key, value: { err: 'no' } }]);
    await call(client, 'delete_one_result', { key });
  });

  for (const [name, , values] of keys) {
    test(`unique ${name}`, async () => {
      const table = client.db[accessor(`unique_${name}`)];
      for (const value of values) {
        await call(client, `delete_unique_${name}`, { value }).catch(() => {});
        await call(client, `insert_unique_${name}`, { value, data: 1 });
      }
      assert.equal(all(table).length, values.length);
      for (const value of values) {
        await call(client, `insert_unique_${name}`, { value, data: 1 }); // an equal row is no fault
        const error = await failure(call(client, `try_insert_unique_${name}`, { value, data: 2 }));
        assert.equal(error.name, 'SenderError');
        assert.match(error.message, /unique/i);
        const trap = await failure(call(client, `insert_unique_${name}`, { value, data: 2 }));
        assert.equal(trap.name, 'InternalError');
      }
      assert.ok(all(table).every(row => row.data === 1));
      for (const value of values) {
        await call(client, `delete_unique_${name}`, { value });
      }
      assert.equal(all(table).length, 0);
    });

    test(`primary key ${name}`, async () => {
      const table = client.db[accessor(`keyed_${name}`)];
      for (const value of values) {
        await call(client, `delete_keyed_${name}`, { value }).catch(() => {});
        await call(client, `insert_keyed_${name}`, { value, data: 1 });
        const seen = next(table, 'update', 'insert', 'delete');
        await call(client, `update_keyed_${name}`, { value, data: 2 });
        assert.equal((await seen)[0], 'update');
        assert.deepEqual(
          (await seen).slice(1).map(row => row.data),
          [1, 2]
        );
      }
      assert.equal(all(table).length, values.length);
      for (const value of values) {
        await call(client, `delete_keyed_${name}`, { value });
      }
      assert.equal(all(table).length, 0);
    });
  }

  test('indexes of several columns, hash and direct', async () => {
    const base = newKey();
    const zone = BigInt(base);
    const slots = Math.floor(Math.random() * 6000) * 10;
    const insert = (i, changes = {}) =>
      call(client, 'insert_place', {
        place: {
          id: base + i,
          name: `place ${base + i}`,
          slot: slots + i,
          zone,
          rank: 9 - i,
          color: i % 2 ? blue : red,
          weight: -i,
          ...changes,
        },
      });
    for (let i = 0; i < 8; i++) {
      await insert(i);
    }
    lastKey += 10;
    const found = () =>
      all(client.db.found)
        .sort((a, b) => a.position - b.position)
        .map(row => row.id - base);
    await call(client, 'find_zone', { zone });
    assert.deepEqual(found(), [7, 6, 5, 4, 3, 2, 1, 0]);
    await call(client, 'find_zone_ranks', { zone, low: 3, high: 5 });
    assert.deepEqual(found(), [6, 5, 4]);
    await call(client, 'find_slot', { slot: slots + 3 });
    assert.deepEqual(found(), [3]);
    await call(client, 'find_weights', { low: -3, high: 0 });
    assert.deepEqual(found().filter(id => id >= 0 && id < 8), [3, 2, 1]);
    await call(client, 'find_color', { color: blue });
    assert.deepEqual(new Set(found().filter(id => id >= 0 && id < 8)), new Set([1, 3, 5, 7]));

    let error = await failure(insert(9, { name: `place ${base}` }));
    assert.equal(error.name, 'SenderError');
    error = await failure(insert(9, { slot: slots }));
    assert.equal(error.name, 'SenderError');

    await call(client, 'delete_zone_ranks', { zone, low: 0, high: 255 });
    await call(client, 'find_zone', { zone });
    assert.deepEqual(found(), []);
  });

  test('numbers given by the host', async () => {
    const text = unique('numbered');
    for (let i = 0; i < 3; i++) {
      await call(client, 'insert_numbered', { id: 0n, text });
    }
    const ids = all(client.db.numbered)
      .filter(row => row.text === text)
      .map(row => row.id)
      .sort((a, b) => Number(a - b));
    assert.equal(ids.length, 3);
    assert.ok(ids[0] > 0n && ids[0] < ids[1] && ids[1] < ids[2]);
  });

  test('equal rows are one', async () => {
    const text = unique('bag');
    await call(client, 'put_in_bag', { text });
    await call(client, 'put_in_bag', { text });
    assert.equal(all(client.db.bag).filter(row => row.text === text).length, 1);
    await call(client, 'take_from_bag', { text });
    assert.equal(all(client.db.bag).filter(row => row.text === text).length, 0);
    assert.equal((await failure(call(client, 'take_from_bag', { text }))).message, 'no such row');
  });

  test('rows of an event table are seen and not kept', async () => {
    const text = unique('notice');
    const seen = next(client.db.notice, 'insert');
    await call(client, 'notify', { text });
    assert.deepEqual(await seen, ['insert', { text }]);
    assert.equal(client.db.notice.count(), 0n);
  });

    test('timers', async () => {
    const text = unique('once');
    const ticked = () => all(client.db.bag).some(row => row.text === `tick ${text}`);
    await call(client, 'start_timer', { text, micros: 50_000n });
    assert.equal(ticked(), false);
    await until(ticked, 'tick');
    await until(() => all(client.db.timer).every(row => row.text !== text), 'timer row gone');

    const again = unique('every');
    await call(client, 'start_interval', { text: again, micros: 20_000n });
    for (let i = 0; i < 3; i++) {
      await until(() => all(client.db.bag).some(row => row.text === `tick ${again}`), 'interval');
      await call(client, 'take_from_bag', { text: `tick ${again}` });
    }
    await call(client, 'stop_timers');
    assert.equal(client.db.timer.count(), 0n);
  });

  test('a subscription with a condition, and its end', async () => {
    const other = await connect();
    const wanted = newKey();
    const handle = await subscribe(other, `SELECT * FROM option_i_32 WHERE key = ${wanted}`);
    await call(client, 'insert_option_i32', { key: newKey(), value: 1 });
    await call(client, 'insert_option_i32', { key: wanted, value: 2 });
    await until(() => other.db.optionI32.count() === 1n, 'the row');
    assert.deepEqual(all(other.db.optionI32), [{ key: wanted, value: 2 }]);
    await within(5_000, new Promise(resolve => handle.unsubscribeThen(resolve)), 'unsubscribe');
    await until(() => other.db.optionI32.count() === 0n, 'the row to leave');
    await close(other);
  });

  test('queries that cannot be subscribed to', async () => {
    for (const query of ['SELECT * FROM no_such_table', 'SELEC', select('secret')]) {
      assert.ok((await failure(subscribe(client, query))) instanceof Error, query);
    }
    await call(client, 'record_caller'); // the connection is still good
  });
});

describe('failures', () => {
  let client;
  before(async () => {
    client = await connect();
    await subscribe(client, select('bag'));
  });
  after(() => close(client));

  const kept = text => all(client.db.bag).some(row => row.text.includes(text));

  test('an error that the module returns', async () => {
    for (const text of [unique('sorry'), '', 'Gr\u00fc\u00dfe \u{1f30d}', 'x'.repeat(100_000)]) {
      const error = await failure(call(client, 'fail', { text }));
      assert.equal(error.name, 'SenderError');
      assert.equal(error.message, text);
      assert.equal(kept(`fail ${text}`), false);
    }
  });

  test('a panic', async () => {
    const text = unique('oh');
    const error = await failure(call(client, 'panic', { text }));
    assert.equal(error.name, 'InternalError');
    assert.equal(error.message, 'The instance encountered a fatal error.');
    assert.equal(kept(`panic ${text}`), false);
    await call(client, 'put_in_bag', { text }); // the next call finds a whole module
    assert.equal(kept(text), true);
  });

  for (const name of ['overflow_stack', 'allocate_forever', 'loop_forever']) {
    test(name, { timeout: 60_000 * slow }, async () => {
      const error = await failure(within(50_000, client.reducers[accessor(name)]({}), name));
      assert.equal(error.name, 'InternalError');
      assert.ok(error.message.length > 0);
      const text = unique(name);
      await call(client, 'put_in_bag', { text });
      assert.equal(kept(text), true);
    });
  }

  // A sequence wraps at its column's size; a row that is there already is no violation.
  test('numbers that run out', async () => {
    await call(client, 'insert_numbered_small', { count: 300 });
    await call(client, 'put_in_bag', { text: unique('after') });
  });

  test('an unknown token', async () => {
    await failure(connect({ token: 'not.a.token' }));
  });
});

describe('identity', () => {
  test('a token brings back the identity, another connection', async () => {
    const first = await connect({ compression: 'gzip' });
    await subscribe(first, select('caller'));
    await call(first, 'record_caller');
    const seen = all(first.db.caller).filter(row => row.sender.isEqual(first.identity));
    assert.equal(seen.length, 1);
    assert.ok(seen[0].connectionId.isEqual(first.connectionId));
    assert.ok(Math.abs(Number(seen[0].timestamp.toMillis()) - Date.now()) < 60_000);
    await close(first);

    const second = await connect({ token: first.token });
    assert.ok(second.identity.isEqual(first.identity));
    assert.ok(!second.connectionId.isEqual(first.connectionId));
    await subscribe(second, select('caller'));
    await call(second, 'record_caller');
    const both = all(second.db.caller).filter(row => row.sender.isEqual(first.identity));
    assert.equal(both.length, 2);
    await close(second);

    const stranger = await connect();
    assert.ok(!stranger.identity.isEqual(first.identity));
    await close(stranger);
  });

  test('a private table is the owner\u2019s', async t => {
    if (ownerToken() === null) {
      return t.skip('needs WORLDLINE_MODULE');
    }
    const owner = await connect({ token: ownerToken() });
    const id = newKey();
    await call(owner, 'keep_secret', { id, text: 'hush' });
    const [{ rows }] = await sql(`SELECT text FROM secret WHERE id = ${id}`, ownerToken());
    assert.deepEqual(rows, [['hush']]);
    const stranger = await connect();
    await assert.rejects(sql('SELECT * FROM secret', stranger.token));
    await close(stranger);
    await close(owner);
  });
});

describe('restart', () => {
  test('what was confirmed is there', { skip: !canRestart, timeout: 120_000 * slow }, async () => {
    const client = await connect();
    const key = newKey();
    const text = unique('kept');
    for (const [name, , values] of columns) {
      await call(client, `insert_${name}`, { key, value: values.at(-1) });
    }
    await call(client, 'insert_all_columns', { row: allColumnsRow(key, 3) });
    await call(client, 'insert_numbered', { id: 0n, text });
    await restart();
    await within(20_000, client.closed, 'the end of the old connection');

    const again = await connect({ token: client.token, compression: 'gzip' });
    assert.ok(again.identity.isEqual(client.identity));
    await subscribe(again, tables.map(([name]) => select(name)));
    for (const [name, type, values] of columns) {
      const rows = all(again.db[accessor(name)]).filter(row => row.key === key);
      assert.deepEqual(rows, [{ key, value: travelled(type, values.at(-1)) }], name);
    }
    assert.ok(all(again.db.allColumns).some(row => row.key === key));
    const [kept] = all(again.db.numbered).filter(row => row.text === text);
    await call(again, 'insert_numbered', { id: 0n, text: unique('after') });
    assert.ok(all(again.db.numbered).every(row => row.text !== text || row.id === kept.id));
    assert.ok(all(again.db.numbered).some(row => row.id > kept.id));
    await close(again);
  });
});
