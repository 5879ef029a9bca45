/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The syscall surface, driven as a hostile guest would: any arguments, in any order, over a real store. Checked
 * besides memory safety: an iterator gives exactly the rows that its scan saw when it was opened, whatever is written
 * meanwhile, and in whole chunks.
 *
 * The input is a list of operations. An operation of 0 writes bytes into guest memory; others are syscalls, whose
 * arguments are one byte each: mostly an index into values that mean something (`argument`).
 */
#include "base/arena.h"
#include "base/mem.h"
#include "native.h"
#include "runtime/runtime_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { DATA = 0x80000, MEMORY = 0x200000, SNAPSHOTS = 64 };

static struct runtime *runtime;
static struct runtime_program *program;

/* ---- the rows an open iterator must give ---- */
struct snapshot {
	struct buf rows;
	size_t at;
	bool open;
};
static struct snapshot snapshots[SNAPSHOTS]; /* by handle */

static void snapshot_take(uint32_t handle, struct store_cursor cursor)
{
	if (handle >= SNAPSHOTS)
		return;
	struct snapshot *s = &snapshots[handle];
	buf_clear(&s->rows);
	s->at = 0;
	s->open = true;
	for (struct store_row row; store_cursor_next(&cursor, &row);)
		buf_put(&s->rows, row.data, row.len);
}

static void snapshot_check(uint32_t handle, const uint8_t *data, uint32_t len, int32_t code)
{
	if (handle >= SNAPSHOTS || !snapshots[handle].open)
		return;
	struct snapshot *s = &snapshots[handle];
	if (code == 0 || code == SYSCALL_DONE) {
		ASSERT(len <= s->rows.len - s->at);
		ASSERT(len == 0 || memcmp(s->rows.data + s->at, data, len) == 0);
		s->at += len;
	}
	if (code == ERRNO_BUFFER_TOO_SMALL)
		ASSERT(len > 0 && len <= s->rows.len - s->at);
	if (code == SYSCALL_DONE) {
		ASSERT(s->at == s->rows.len);
		s->open = false;
	}
	if (code == 0)
		ASSERT(s->at < s->rows.len);
}

/* ---- set-up ---- */

static void make_tables(struct store *store, struct arena *arena, uint32_t tables[2])
{
	static const uint16_t c0 = 0, c1 = 1;
	struct store_column columns[] = {
		{ STR("id"), STR("id"), &sats_primitive[SATS_U8] }, { STR("data"), STR("data"), &sats_bytes },
	};
	struct sats_element elements[] = { { columns[0].name, columns[0].type }, { columns[1].name, columns[1].type } };
	for (int i = 0; i < 2; i++) {
		struct store_index_def indexes[] = {
			{ .name = arena_printf(arena, "t%d_id", i), .kind = i == 0 ? STORE_BTREE : STORE_HASH, .unique = true,
				.column_count = 1, .columns = &c0 },
			{ .name = arena_printf(arena, "t%d_data", i), .kind = STORE_BTREE, .column_count = 1, .columns = &c1 },
		};
		struct store_constraint_def unique = { .name = arena_printf(arena, "t%d_u", i), .column_count = 1,
			.columns = &c0 };
		struct store_sequence_def sequence = { .name = arena_printf(arena, "t%d_s", i), .start = 1, .min = 1,
			.max = 200, .increment = 1 };
		struct store_table_def def = { .name = arena_printf(arena, "t%d", i), .accessor = arena_printf(arena, "t%d", i),
			.row_type = sats_product_of(arena, elements, 2), .column_count = 2, .columns = columns, .index_count = 2,
			.indexes = indexes, .constraint_count = 1, .constraints = &unique, .sequence_count = i == 0,
			.sequences = &sequence, .primary_key = 0, .schedule_at = -1 };
		struct store_table *table;
		ASSERT(store_table_create(store, &def, &table) == STORE_OK);
		tables[i] = store_table_def(table)->id;
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	if (system("sh tests/unit/data/runtime/build.sh build/guests") != 0)
		exit(0);
	FILE *file = fopen("build/guests/script.wasm", "rb");
	static uint8_t code[1 << 16];
	size_t len = file != NULL ? fread(code, 1, sizeof(code), file) : 0;
	struct runtime_options options = { .call_ms_max = 0 };
	struct buf error = BUF_INIT(1 << 16);
	uint8_t hash[32];
	runtime = mem_or_abort(runtime_create(&options, NULL));
	native_keccak256(code, len, hash);
	if (runtime_compile(runtime, RUNTIME_WASM, (struct bytes){ code, len }, hash, &program, &error) != WL_OK)
		abort();
	fclose(file);
	for (int i = 0; i < SNAPSHOTS; i++)
		buf_init(&snapshots[i].rows, 16 << 20);
	return 0;
}

static void log_nothing(void *context, const struct runtime_log *record)
{
	(void)context;
	ASSERT(utf8_valid((const uint8_t *)record->target.data, record->target.len));
	ASSERT(utf8_valid((const uint8_t *)record->filename.data, record->filename.len));
	ASSERT(utf8_valid((const uint8_t *)record->function.data, record->function.len));
	ASSERT(utf8_valid((const uint8_t *)record->message.data, record->message.len));
}

/* ---- one input ---- */

struct driver {
	struct runtime_instance *in;
	struct reader input;
	uint32_t tables[2], indexes[4];
};

/* A byte of input as an argument: a small number, an address, an id, or something bad. */
static uint32_t argument(struct driver *d)
{
	uint8_t b = reader_u8(&d->input);
	if (b < 16)
		return b;
	if (b < 96)
		return DATA + (uint32_t)(b - 16) * 8;
	if (b < 100)
		return d->indexes[b - 96];
	if (b < 104)
		return d->tables[b & 1];
	if (b < 112)
		return 1u << (b - 96);
	if (b < 128)
		return MEMORY - (uint32_t)(b - 112);
	if (b < 140)
		return UINT32_MAX - (uint32_t)(b - 128);
	if (b < 200)
		return (uint32_t)b * 100;
	return reader_u32(&d->input);
}

static void write_memory(struct driver *d)
{
	uint32_t at = reader_u8(&d->input) * 8u, len = reader_u8(&d->input);
	const uint8_t *data = reader_take(&d->input, len, "bytes");
	if (data != NULL)
		memcpy(d->in->memory + DATA + at, data, len);
}

/* Large rows, so that chunks are more than one: {id, size bytes}. */
static int32_t insert_large(struct driver *d)
{
	enum { ROW = 0x90000, LEN = 0x8f000 };
	uint32_t size = reader_u8(&d->input) * 200u;
	uint8_t *row = d->in->memory + ROW;
	row[0] = reader_u8(&d->input);
	store_u32(row + 1, size);
	memset(row + 5, row[0], size);
	store_u32(d->in->memory + LEN, size + 5);
	return syscall_insert(d->in, d->tables[0], ROW, LEN);
}

static int32_t open_scan(struct driver *d, int kind)
{
	struct runtime_instance *in = d->in;
	uint32_t a[9];
	for (int i = 0; i < 9; i++)
		a[i] = i < (kind == 0 ? 2 : kind == 1 ? 4 : 9) ? argument(d) : 0;
	uint32_t out = a[kind == 0 ? 1 : kind == 1 ? 3 : 8];
	struct syscall_range range = { a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7] };
	int32_t result = kind == 0 ? syscall_table_scan(in, a[0], out)
		: kind == 1 ? syscall_index_scan_point(in, a[0], a[1], a[2], out) : syscall_index_scan_range(in, &range, out);
	if (result != 0)
		return result;
	uint32_t handle = load_u32(in->memory + out);
	struct iterator *it = slab_get(&in->iterators, handle);
	ASSERT(it != NULL);
	if (it->state == ITERATOR_LAZY && handle < SNAPSHOTS) {
		snapshot_take(handle, it->cursor);
		struct buf *rows = &snapshots[handle].rows; /* the row that was fetched already comes first */
		struct buf all = BUF_INIT(rows->max);
		buf_put(&all, it->row.data, it->row.len);
		buf_put(&all, rows->data, rows->len);
		buf_deinit(rows);
		*rows = all;
	} else if (handle < SNAPSHOTS) {
		snapshots[handle].open = true;
		snapshots[handle].at = 0;
		buf_clear(&snapshots[handle].rows);
		buf_put(&snapshots[handle].rows, it->data.data, it->data.len);
	}
	return 0;
}

static int32_t advance(struct driver *d)
{
	struct runtime_instance *in = d->in;
	enum { BUFFER = 0xa0000, LEN = 0x8f000 };
	uint32_t handle = argument(d) & 63, buffer = argument(d), len = argument(d);
	if (reader_u8(&d->input) & 1) {
		store_u32(in->memory + LEN, reader_u8(&d->input) * 1000u);
		buffer = BUFFER;
		len = LEN;
	}
	int32_t result = syscall_iter_advance(in, handle, buffer, len);
	if (result == SYSCALL_TRAP || result == ERRNO_NO_SUCH_ITER)
		return result;
	uint32_t written = load_u32(in->memory + len);
	bool over = (uint64_t)len + 4 > buffer && len < (uint64_t)buffer + written;
	if (!over)
		snapshot_check(handle, in->memory + buffer, written, result);
	else if (handle < SNAPSHOTS)
		snapshots[handle].open = false; /* its length lies in what it wrote */
	return result;
}

static int32_t one(struct driver *d)
{
	struct runtime_instance *in = d->in;
	uint8_t operation = reader_u8(&d->input) % 32;
	uint32_t a[4] = { 0 };
	if (operation >= 10)
		for (int i = 0; i < 4; i++)
			a[i] = argument(d);
	struct syscall_range range = { a[0], 0, 0, 0, a[1], a[2], a[1], a[2] };
	struct syscall_log record = { a[0], a[1], a[2], a[3], a[2], a[1], a[3], a[2] };
	struct store_delta delta;
	switch (operation) {
	case 0: case 1: write_memory(d); return 0;
	case 2: return insert_large(d);
	case 3: return open_scan(d, 0);
	case 4: return open_scan(d, 1);
	case 5: return open_scan(d, 2);
	case 6: case 7: return advance(d);
	case 8: /* the transaction ends, and another begins */
		iterators_settle(in);
		if (reader_u8(&d->input) & 1)
			ASSERT(store_tx_commit(in->store, &delta) == STORE_OK);
		else
			store_tx_rollback(in->store);
		store_tx_begin(in->store);
		return 0;
	case 9: return insert_large(d);
	case 10: return syscall_table_id_from_name(in, a[0], a[1], a[2]);
	case 11: return syscall_index_id_from_name(in, a[0], a[1], a[2]);
	case 12: return syscall_table_row_count(in, a[0], a[1]);
	case 13: return syscall_insert(in, a[0], a[1], a[2]);
	case 14: return syscall_update(in, a[0], a[1], a[2], a[3]);
	case 15: return syscall_delete_point(in, a[0], a[1], a[2], a[3]);
	case 16: return syscall_delete_range(in, &range, a[3]);
	case 17: return syscall_delete_all_by_eq(in, a[0], a[1], a[2], a[3]);
	case 18: return syscall_clear(in, a[0], a[1]);
	case 19:
		if (a[0] < SNAPSHOTS)
			snapshots[a[0]].open = false;
		return syscall_iter_close(in, a[0]);
	case 20: return syscall_source_read(in, a[0], a[1], a[2]);
	case 21: return syscall_source_remaining(in, a[0], a[1]);
	case 22: return syscall_sink_write(in, a[0], a[1], a[2]);
	case 23: syscall_console_log(in, &record); return 0;
	case 24: return syscall_timer_start(in, a[0], a[1]);
	case 25: return syscall_timer_end(in, a[0]);
	case 26: return syscall_get_jwt(in, a[0], a[1]);
	case 27: return syscall_env_get(in, a[0], a[1], a[2]);
	case 28: return syscall_identity(in, a[0]);
	case 29: return syscall_start_tx(in, a[0]);
	case 30: return syscall_schedule_immediate(in, a[0], a[1], a[2], a[3]);
	default: return syscall_commit_tx(in);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct runtime_env env = { .store = mem_or_abort(store_create()), .log = log_nothing };
	struct arena arena;
	struct buf error = BUF_INIT(1 << 16);
	struct driver d = { .input = reader_of(data, size) };
	arena_init(&arena, 1 << 20);
	ASSERT(runtime_instance_create(program, &env, NULL, &d.in, &error) == WL_OK);
	store_tx_begin(env.store);
	make_tables(env.store, &arena, d.tables);
	static const char *const names[] = { "t0_id", "t0_data", "t1_id", "t1_data" };
	for (int i = 0; i < 4; i++)
		d.indexes[i] = store_index_def(store_index_by_name(env.store, str_of(names[i])))->id;
	uint32_t source;
	sink_create(d.in);
	ASSERT(source_create(d.in, (struct bytes){ data, size }, false, &source));
	d.in->frame = FRAME_REDUCER;
	d.in->in_tx = true;
	for (int i = 0; i < SNAPSHOTS; i++)
		snapshots[i].open = false;
	while (reader_left(&d.input) > 0 && !d.input.failed)
		if (one(&d) == SYSCALL_TRAP)
			ASSERT(d.in->trap_len > 0); /* a guest would end here; going on finds more */
	iterators_settle(d.in);
	bytes_reset(d.in);
	d.in->frame = FRAME_NONE;
	store_tx_rollback(env.store);
	runtime_instance_destroy(d.in);
	store_destroy(env.store);
	arena_deinit(&arena);
	buf_deinit(&error);
	return 0;
}
