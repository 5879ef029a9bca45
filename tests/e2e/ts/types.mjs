// SPDX-License-Identifier: Apache-2.0
// What tests/modules/types283 and types214 declare, as data: tables, reducers, and values to try.
import {
  ConnectionId,
  Identity,
  ScheduleAt,
  TimeDuration,
  Timestamp,
  Uuid,
  t,
} from 'spacetimedb';

export const Color = t.enum('Color', { Red: t.unit(), Green: t.unit(), Blue: t.unit() });
export const Point = t.object('Point', { x: t.i32(), y: t.i32() });
export const Nothing = t.object('Nothing', {});
export const Shape = t.enum('Shape', {
  Empty: t.unit(),
  Circle: t.f64(),
  Label: t.string(),
  Box: Point,
  Path: t.array(Point),
  Tint: t.option(Color),
});
export const Nested = t.object('Nested', {
  name: t.string(),
  at: Point,
  fill: Color,
  marks: t.array(t.u16()),
  note: t.option(t.string()),
  nothing: Nothing,
});

const red = { tag: 'Red' };
const blue = { tag: 'Blue' };
const nested = (name, note) => ({
  name,
  at: { x: -1, y: 2147483647 },
  fill: blue,
  marks: [0, 65535],
  note,
  nothing: {},
});
const unsigned = bits => [0n, 1n, 1n << BigInt(bits - 1), (1n << BigInt(bits)) - 1n];
const signed = bits => [0n, -1n, -(1n << BigInt(bits - 1)), (1n << BigInt(bits - 1)) - 1n];
const small = values => values.map(Number);
const text = [
  '',
  'plain',
  'Gr\u00fc\u00dfe \u4e16\u754c \u{1f30d}',
  'zero \u0000 inside, "quoted" \\ and\nlines',
  'long '.repeat(20000),
];
const bytes = [
  new Uint8Array(),
  Uint8Array.from({ length: 256 }, (_, i) => i),
  new Uint8Array(100_000).fill(7),
];
const identity = [Identity.zero(), new Identity((1n << 256n) - 1n), new Identity(0xc200n << 240n)];
const connectionId = [new ConnectionId(0n), new ConnectionId((1n << 128n) - 1n)];
const timestamp = [0n, -1n, 1n, (1n << 63n) - 1n, -(1n << 63n)].map(n => new Timestamp(n));
const uuid = [Uuid.NIL, Uuid.MAX, Uuid.parse('0190a2f4-7e21-7c3d-9b1a-0123456789ab')];

// Rust's name in the module, the SDK's builder, values.
export const columns = [
  ['one_u8', t.u8(), small(unsigned(8))],
  ['one_u16', t.u16(), small(unsigned(16))],
  ['one_u32', t.u32(), small(unsigned(32))],
  ['one_u64', t.u64(), unsigned(64)],
  ['one_u128', t.u128(), unsigned(128)],
  ['one_u256', t.u256(), unsigned(256)],
  ['one_i8', t.i8(), small(signed(8))],
  ['one_i16', t.i16(), small(signed(16))],
  ['one_i32', t.i32(), small(signed(32))],
  ['one_i64', t.i64(), signed(64)],
  ['one_i128', t.i128(), signed(128)],
  ['one_i256', t.i256(), signed(256)],
  ['one_f32', t.f32(), [0, -0, 1.5, -3.4028234663852886e38, Infinity, NaN]],
  ['one_f64', t.f64(), [0, -0, 0.1, 5e-324, Number.MAX_VALUE, -Infinity, NaN]],
  ['one_bool', t.bool(), [false, true]],
  ['one_string', t.string(), text],
  ['one_bytes', t.byteArray(), bytes],
  ['one_identity', t.identity(), identity],
  ['one_connection_id', t.connectionId(), connectionId],
  ['one_timestamp', t.timestamp(), timestamp],
  ['one_time_duration', t.timeDuration(), [0n, -1n, 1500000n].map(n => new TimeDuration(n))],
  ['one_uuid', t.uuid(), uuid],
  ['one_color', Color, [red, { tag: 'Green' }, blue]],
  [
    'one_shape',
    Shape,
    [
      { tag: 'Empty' },
      { tag: 'Circle', value: -0.5 },
      { tag: 'Label', value: 'label' },
      { tag: 'Box', value: { x: 1, y: -2 } },
      { tag: 'Path', value: [{ x: 1, y: 2 }, { x: 3, y: 4 }] },
      { tag: 'Path', value: [] },
      { tag: 'Tint', value: undefined },
      { tag: 'Tint', value: blue },
    ],
  ],
  ['one_nested', Nested, [nested('', undefined), nested('n', 'note')]],
  ['one_nothing', Nothing, [{}, {}]],
  // An error is tried apart: SDK 2.10.1 encodes it as if it had the type of the result.
  ['one_result', t.result(t.u32(), t.string()), [{ ok: 0 }, { ok: 4294967295 }]],
  [
    'one_schedule_at',
    t.scheduleAt(),
    [ScheduleAt.interval(1000000n), ScheduleAt.time(1700000000000000n)],
  ],
  ['option_i32', t.option(t.i32()), [undefined, 0, -2147483648]],
  ['option_string', t.option(t.string()), [undefined, '', 'some']],
  ['option_nested', t.option(Nested), [undefined, nested('n', 'note')]],
  ['option_option', t.option(t.option(Color)), [undefined, blue]],
  ['vec_bool', t.array(t.bool()), [[], [true, false, true]]],
  ['vec_i32', t.array(t.i32()), [[], [1, -2, 2147483647]]],
  ['vec_u256', t.array(t.u256()), [[], unsigned(256)]],
  ['vec_f64', t.array(t.f64()), [[], [0.1, -0, Infinity]]],
  ['vec_string', t.array(t.string()), [[], text]],
  ['vec_bytes', t.array(t.byteArray()), [[], bytes]],
  ['vec_color', t.array(Color), [[], [red, blue, red]]],
  ['vec_shape', t.array(Shape), [[], [{ tag: 'Empty' }, { tag: 'Label', value: 'x' }]]],
  ['vec_nested', t.array(Nested), [[], [nested('a', 'b'), nested('', undefined)]]],
  ['vec_identity', t.array(t.identity()), [[], identity]],
  ['vec_option', t.array(t.option(t.u64())), [[], [1n, undefined, 3n]]],
];

// The suffix of unique_… and keyed_…, the builder (made anew for each use), three values.
export const keys = [
  ['u8', () => t.u8(), [0, 1, 255]],
  ['u16', () => t.u16(), [0, 1, 65535]],
  ['u32', () => t.u32(), [0, 1, 4294967295]],
  ['u64', () => t.u64(), unsigned(64).slice(1)],
  ['u128', () => t.u128(), unsigned(128).slice(1)],
  ['u256', () => t.u256(), unsigned(256).slice(1)],
  ['i8', () => t.i8(), [-128, 0, 127]],
  ['i16', () => t.i16(), [-32768, 0, 32767]],
  ['i32', () => t.i32(), [-2147483648, 0, 2147483647]],
  ['i64', () => t.i64(), signed(64).slice(1)],
  ['i128', () => t.i128(), signed(128).slice(1)],
  ['i256', () => t.i256(), signed(256).slice(1)],
  ['bool', () => t.bool(), [false, true]],
  ['string', () => t.string(), text.slice(0, 3)],
  ['identity', () => t.identity(), identity],
  ['connection_id', () => t.connectionId(), connectionId],
  ['timestamp', () => t.timestamp(), timestamp.slice(0, 3)],
  ['uuid', () => t.uuid(), uuid],
  ['color', () => Color, [red, { tag: 'Green' }, blue]],
];

export const allColumns = {
  key: t.u32().primaryKey(),
  u8: t.u8(),
  u16: t.u16(),
  u32: t.u32(),
  u64: t.u64(),
  u128: t.u128(),
  u256: t.u256(),
  i8: t.i8(),
  i16: t.i16(),
  i32: t.i32(),
  i64: t.i64(),
  i128: t.i128(),
  i256: t.i256(),
  f32: t.f32(),
  f64: t.f64(),
  bool: t.bool(),
  string: t.string(),
  bytes: t.byteArray(),
  identity: t.identity(),
  connectionId: t.connectionId(),
  timestamp: t.timestamp(),
  timeDuration: t.timeDuration(),
  uuid: t.uuid(),
  color: Color,
  shape: Shape,
  nested: Nested,
  nothing: Nothing,
  result: t.result(t.u32(), t.string()),
  scheduleAt: t.scheduleAt(),
  option: t.option(t.i32()),
  list: t.array(t.string()),
};

// The n-th of the values that a column of this table is tried with.
export function allColumnsRow(key, n) {
  const row = { key };
  for (const name of Object.keys(allColumns)) {
    const tried = columns.find(([column]) => column === `one_${rustName(name)}`);
    if (tried) {
      row[name] = tried[2][n % tried[2].length];
    }
  }
  row.option = n % 2 === 0 ? undefined : n;
  row.list = Array.from({ length: n }, (_, i) => `item ${i}`);
  return row;
}

function rustName(field) {
  return field.replace(/[A-Z]/g, c => `_${c.toLowerCase()}`);
}

const place = {
  id: t.u32().primaryKey(),
  name: t.string().unique(),
  slot: t.u16().unique(),
  zone: t.i64(),
  rank: t.u8(),
  color: Color,
  weight: t.i32(),
};

// Tables besides those made from `columns` and `keys`: name, row, options.
export const tables = [
  ['all_columns', allColumns],
  ['place', place],
  ['found', { position: t.u32().primaryKey(), id: t.u32() }],
  ['numbered', { id: t.u64().primaryKey(), text: t.string() }],
  ['numbered_small', { id: t.i8().primaryKey() }],
  ['unique_numbers', { n: t.u64().primaryKey() }],
  ['bag', { text: t.string() }],
  ['notice', { text: t.string() }, { event: true }],
  [
    'caller',
    {
      id: t.u64().primaryKey(),
      sender: t.identity(),
      connectionId: t.option(t.connectionId()),
      timestamp: t.timestamp(),
    },
  ],
  [
    'timer',
    { scheduledId: t.u64().primaryKey(), scheduledAt: t.scheduleAt(), text: t.string() },
  ],
];

const AllColumnsType = t.object('AllColumns', { ...allColumns, key: t.u32() });
const PlaceType = t.object('Place', {
  ...place,
  id: t.u32(),
  name: t.string(),
  slot: t.u16(),
});

export const reducers = [
  ['insert_all_columns', { row: AllColumnsType }],
  ['update_all_columns', { row: AllColumnsType }],
  ['delete_all_columns', { key: t.u32() }],
  ['set_one_result_err', { key: t.u32(), text: t.string() }],
  ['insert_place', { place: PlaceType }],
  ['update_place', { place: PlaceType }],
  ['find_zone', { zone: t.i64() }],
  ['find_zone_ranks', { zone: t.i64(), low: t.u8(), high: t.u8() }],
  ['find_weights', { low: t.i32(), high: t.i32() }],
  ['find_color', { color: Color }],
  ['find_slot', { slot: t.u16() }],
  ['delete_zone_ranks', { zone: t.i64(), low: t.u8(), high: t.u8() }],
  ['insert_numbered', { id: t.u64(), text: t.string() }],
  ['insert_numbered_small', { count: t.u32() }],
  ['unique_number', { n: t.u64() }],
  ['put_in_bag', { text: t.string() }],
  ['take_from_bag', { text: t.string() }],
  ['keep_secret', { id: t.u32(), text: t.string() }],
  ['notify', { text: t.string() }],
  ['record_caller', {}],
  ['start_timer', { text: t.string(), micros: t.i64() }],
  ['start_interval', { text: t.string(), micros: t.i64() }],
  ['stop_timers', {}],
  ['fail', { text: t.string() }],
  ['panic', { text: t.string() }],
  ['loop_forever', {}],
  ['overflow_stack', {}],
  ['allocate_forever', {}],
  ['log_levels', {}],
];

for (const [name, type] of columns) {
  tables.push([name, { key: t.u32().primaryKey(), value: type }]);
  reducers.push([`insert_${name}`, { key: t.u32(), value: type }]);
  reducers.push([`update_${name}`, { key: t.u32(), value: type }]);
  reducers.push([`delete_${name}`, { key: t.u32() }]);
}

for (const [name, type] of keys) {
  tables.push([`unique_${name}`, { value: type(), data: t.i32() }]);
  tables.push([`keyed_${name}`, { value: type().primaryKey(), data: t.i32() }]);
  for (const call of ['insert_unique', 'try_insert_unique', 'insert_keyed', 'update_keyed']) {
    reducers.push([`${call}_${name}`, { value: type(), data: t.i32() }]);
  }
  for (const call of ['delete_unique', 'delete_keyed']) {
    reducers.push([`${call}_${name}`, { value: type() }]);
  }
}
