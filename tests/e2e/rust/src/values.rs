// SPDX-License-Identifier: Apache-2.0
//! Values to try in columns of each type: the smallest, the largest, the empty and the odd ones.

use crate::bindings::{Column, KeyColumn};
use crate::module::*;
use spacetimedb_sdk::{i256, u256, ConnectionId, Identity, ScheduleAt, TimeDuration, Timestamp, Uuid};

/// A column and the values that it is tried with; no two neighbours are equal, if the type has two.
pub trait Tried: Column {
    fn values() -> Vec<Self::Value>;
}

pub trait TriedKey: KeyColumn {
    fn values() -> Vec<Self::Value>;
}

pub trait EachColumn {
    fn column<R: Tried>(&mut self);
}

pub trait EachKey {
    fn key<R: TriedKey>(&mut self);
}

macro_rules! tried_columns {
    ($($Row:ident $values:expr;)*) => {
        $(impl Tried for $Row {
            fn values() -> Vec<Self::Value> {
                $values.into_iter().collect()
            }
        })*
        pub fn each_column(visitor: &mut impl EachColumn) {
            $(visitor.column::<$Row>();)*
        }
    };
}

macro_rules! tried_keys {
    ($($Unique:ident $Keyed:ident $values:expr;)*) => {
        $(impl TriedKey for $Unique {
            fn values() -> Vec<Self::Value> {
                $values.into_iter().collect()
            }
        }
        impl TriedKey for $Keyed {
            fn values() -> Vec<Self::Value> {
                $values.into_iter().collect()
            }
        })*
        pub fn each_unique(visitor: &mut impl EachKey) {
            $(visitor.key::<$Unique>();)*
        }
        pub fn each_keyed(visitor: &mut impl EachKey) {
            $(visitor.key::<$Keyed>();)*
        }
    };
}

fn texts() -> Vec<String> {
    ["", "plain", "Gr\u{fc}\u{df}e \u{4e16}\u{754c} \u{1f30d}", "zero \0 inside, \"quoted\" \\ and\nlines"]
        .into_iter()
        .map(String::from)
        .chain(["long ".repeat(20_000)])
        .collect()
}

fn byte_strings() -> [Vec<u8>; 3] {
    [vec![], (0..=255).collect(), vec![7; 100_000]]
}

fn identities() -> [Identity; 3] {
    [Identity::ZERO, Identity::from_u256(u256::MAX), Identity::from_u256(u256::new(0xc200) << 240)]
}

fn connection_ids() -> [ConnectionId; 3] {
    [ConnectionId::ZERO, ConnectionId::from_u128(u128::MAX), ConnectionId::from_u128(1)]
}

fn timestamps() -> [Timestamp; 5] {
    [0, -1, 1, i64::MAX, i64::MIN].map(Timestamp::from_micros_since_unix_epoch)
}

fn uuids() -> [Uuid; 3] {
    [Uuid::NIL, Uuid::MAX, Uuid::parse_str("0190a2f4-7e21-7c3d-9b1a-0123456789ab").unwrap()]
}

fn colors() -> [Color; 3] {
    [Color::Red, Color::Green, Color::Blue]
}

fn nested(name: &str, note: Option<&str>) -> Nested {
    Nested {
        name: name.into(),
        at: Point { x: -1, y: i32::MAX },
        fill: Color::Blue,
        marks: vec![0, 65535],
        note: note.map(String::from),
        nothing: Nothing {},
    }
}

fn shapes() -> [Shape; 8] {
    [
        Shape::Empty,
        Shape::Circle(-0.5),
        Shape::Label("label".into()),
        Shape::Box(Point { x: 1, y: -2 }),
        Shape::Path(vec![Point { x: 1, y: 2 }, Point { x: 3, y: 4 }]),
        Shape::Path(vec![]),
        Shape::Tint(None),
        Shape::Tint(Some(Color::Blue)),
    ]
}

fn schedules() -> [ScheduleAt; 2] {
    [
        ScheduleAt::Interval(TimeDuration::from_micros(1_000_000)),
        ScheduleAt::Time(Timestamp::from_micros_since_unix_epoch(1_700_000_000_000_000)),
    ]
}

tried_columns! {
    OneU8 [0, 1, 128, u8::MAX];
    OneU16 [0, 1, 1 << 15, u16::MAX];
    OneU32 [0, 1, 1 << 31, u32::MAX];
    OneU64 [0, 1, 1 << 63, u64::MAX];
    OneU128 [0, 1, 1 << 127, u128::MAX];
    OneU256 [u256::ZERO, u256::ONE, u256::ONE << 255, u256::MAX];
    OneI8 [0, -1, i8::MIN, i8::MAX];
    OneI16 [0, -1, i16::MIN, i16::MAX];
    OneI32 [0, -1, i32::MIN, i32::MAX];
    OneI64 [0, -1, i64::MIN, i64::MAX];
    OneI128 [0, -1, i128::MIN, i128::MAX];
    OneI256 [i256::ZERO, -i256::ONE, i256::MIN, i256::MAX];
    OneF32 [0.0, -0.0, 1.5, f32::MIN, f32::INFINITY, f32::NAN];
    OneF64 [0.0, -0.0, 0.1, 5e-324, f64::MAX, f64::NEG_INFINITY, f64::NAN];
    OneBool [false, true];
    OneString texts();
    OneBytes byte_strings();
    OneIdentity identities();
    OneConnectionId connection_ids();
    OneTimestamp timestamps();
    OneTimeDuration [0, -1, 1_500_000].map(TimeDuration::from_micros);
    OneUuid uuids();
    OneColor colors();
    OneShape shapes();
    OneNested [nested("", None), nested("n", Some("note"))];
    OneNothing [Nothing {}];
    OneResult [Ok(0), Err(String::new()), Ok(u32::MAX), Err("no".into())];
    OneScheduleAt schedules();
    OptionI32 [None, Some(0), Some(i32::MIN)];
    OptionString [None, Some(String::new()), Some("some".into())];
    OptionNested [None, Some(nested("n", Some("note")))];
    OptionOption [None, Some(None), Some(Some(Color::Blue))];
    VecBool [vec![], vec![true, false, true]];
    VecI32 [vec![], vec![1, -2, i32::MAX]];
    VecU256 [vec![], vec![u256::ZERO, u256::ONE, u256::MAX]];
    VecF64 [vec![], vec![0.1, -0.0, f64::INFINITY]];
    VecString [vec![], texts()];
    VecBytes [vec![], byte_strings().to_vec()];
    VecColor [vec![], vec![Color::Red, Color::Blue, Color::Red]];
    VecShape [vec![], shapes().to_vec()];
    VecNested [vec![], vec![nested("a", Some("b")), nested("", None)]];
    VecIdentity [vec![], identities().to_vec()];
    VecOption [vec![], vec![Some(1), None, Some(3)]];
}

tried_keys! {
    UniqueU8 KeyedU8 [0, 1, u8::MAX];
    UniqueU16 KeyedU16 [0, 1, u16::MAX];
    UniqueU32 KeyedU32 [0, 1, u32::MAX];
    UniqueU64 KeyedU64 [0, 1, u64::MAX];
    UniqueU128 KeyedU128 [0, 1, u128::MAX];
    UniqueU256 KeyedU256 [u256::ZERO, u256::ONE, u256::MAX];
    UniqueI8 KeyedI8 [i8::MIN, 0, i8::MAX];
    UniqueI16 KeyedI16 [i16::MIN, 0, i16::MAX];
    UniqueI32 KeyedI32 [i32::MIN, 0, i32::MAX];
    UniqueI64 KeyedI64 [i64::MIN, 0, i64::MAX];
    UniqueI128 KeyedI128 [i128::MIN, 0, i128::MAX];
    UniqueI256 KeyedI256 [i256::MIN, i256::ZERO, i256::MAX];
    UniqueBool KeyedBool [false, true];
    UniqueString KeyedString texts();
    UniqueIdentity KeyedIdentity identities();
    UniqueConnectionId KeyedConnectionId connection_ids();
    UniqueTimestamp KeyedTimestamp timestamps();
    UniqueUuid KeyedUuid uuids();
    UniqueColor KeyedColor colors();
}

fn nth<R: Tried>(n: usize) -> R::Value {
    let values = R::values();
    values[n % values.len()].clone()
}

/// The n-th of the values of every column at once.
pub fn all_columns_row(key: u32, n: usize) -> AllColumns {
    AllColumns {
        key,
        u8: nth::<OneU8>(n),
        u16: nth::<OneU16>(n),
        u32: nth::<OneU32>(n),
        u64: nth::<OneU64>(n),
        u128: nth::<OneU128>(n),
        u256: nth::<OneU256>(n),
        i8: nth::<OneI8>(n),
        i16: nth::<OneI16>(n),
        i32: nth::<OneI32>(n),
        i64: nth::<OneI64>(n),
        i128: nth::<OneI128>(n),
        i256: nth::<OneI256>(n),
        f32: nth::<OneF32>(n),
        f64: nth::<OneF64>(n),
        bool: nth::<OneBool>(n),
        string: nth::<OneString>(n),
        bytes: nth::<OneBytes>(n),
        identity: nth::<OneIdentity>(n),
        connection_id: nth::<OneConnectionId>(n),
        timestamp: nth::<OneTimestamp>(n),
        time_duration: nth::<OneTimeDuration>(n),
        uuid: nth::<OneUuid>(n),
        color: nth::<OneColor>(n),
        shape: nth::<OneShape>(n),
        nested: nth::<OneNested>(n),
        nothing: Nothing {},
        result: nth::<OneResult>(n),
        schedule_at: nth::<OneScheduleAt>(n),
        option: if n % 2 == 0 { None } else { Some(n as i32) },
        list: (0..n).map(|i| format!("item {i}")).collect(),
    }
}
