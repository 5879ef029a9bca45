/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Syscalls that read and change tables. The order of checks is part of the
 * contract: names and keys are read from guest memory first (a bad pointer
 * traps even without a transaction), then the transaction, then the table or
 * index, then the operation; `out` is looked at last.
 */
#include "runtime/runtime_internal.h"

/* What the guest gets for a failed operation: an errno, or a trap with the store's own text. */
static int32_t failed(struct runtime_instance *in, const char *call, enum store_status status)
{
	switch (status) {
	case STORE_OK:
		return 0;
	case STORE_NO_TABLE:
		return ERRNO_NO_SUCH_TABLE;
	case STORE_NO_INDEX:
		return ERRNO_NO_SUCH_INDEX;
	case STORE_INDEX_NOT_UNIQUE:
		return ERRNO_INDEX_NOT_UNIQUE;
	case STORE_NO_ROW:
		return ERRNO_NO_SUCH_ROW;
	case STORE_UNIQUE_VIOLATION:
		return ERRNO_UNIQUE_ALREADY_EXISTS;
	case STORE_BAD_KEY:
		return ERRNO_BSATN_DECODE_ERROR;
	case STORE_SCHEDULE_TOO_LONG:
		return ERRNO_SCHEDULE_AT_DELAY_TOO_LONG;
	case STORE_BAD_ROW:
	case STORE_NOT_ORDERED:
	case STORE_LIMIT:
	case STORE_MEMORY:
		break;
	}
	struct str text = store_error_text(in->store);
	return syscall_trap(in, "runtime error calling %s: internal db error: %.*s", call, STR_FMT(text));
}

static int32_t no_such_table(struct runtime_instance *in, const char *call, uint32_t table)
{
	if (table == ST_ENV)
		return ERRNO_NO_SUCH_TABLE;
	return syscall_trap(in, "runtime error calling %s: internal db error: there is no table with id %u", call, table);
}

/* Guests reach st_env through env_get alone. */
static struct store_table *table_by_id(const struct runtime_instance *in, uint32_t id)
{
	return LIKELY(id != ST_ENV) ? store_table_by_id(in->store, id) : NULL;
}

/* Numbers of tables as they were before the migration whose function runs: to be read, and to nothing else. */
#define OLD_TABLE ((uint32_t)1 << 31)

static struct store_table *table_to_read(const struct runtime_instance *in, uint32_t id)
{
	struct store_table *table = table_by_id(in, id);
	if (LIKELY(table != NULL) || !in->reads_old || (id & OLD_TABLE) == 0)
		return table;
	return store_table_before_by_id(in->store, id & ~OLD_TABLE);
}

static const struct store_table *old_table(const struct runtime_instance *in, struct str name)
{
	static const struct str before = { "old.", 4 };
	if (LIKELY(!in->reads_old) || name.len <= before.len || memcmp(name.data, before.data, before.len) != 0)
		return NULL;
	struct store_table *table = store_table_before(in->store,
		(struct str){ name.data + before.len, name.len - before.len });
	if (table != NULL)
		store_table_see(table);
	return table;
}

static struct store_index *index_by_id(const struct runtime_instance *in, uint32_t id)
{
	return LIKELY(id != ST_ENV_KEY_INDEX) ? store_index_by_id(in->store, id) : NULL;
}

static int32_t no_such_index(uint32_t id)
{
	return id == ST_ENV_KEY_INDEX ? ERRNO_NO_SUCH_TABLE : ERRNO_NO_SUCH_INDEX;
}

static int32_t put_u32(struct runtime_instance *in, uint32_t out, uint32_t value)
{
	uint8_t *target = guest_slice(in, out, sizeof(value));
	if (target == NULL)
		return syscall_trap_pointer(in, out);
	store_u32(target, value);
	return 0;
}

static int32_t put_u64(struct runtime_instance *in, uint32_t out, uint64_t value)
{
	uint8_t *target = guest_slice(in, out, sizeof(value));
	if (target == NULL)
		return syscall_trap_pointer(in, out);
	store_u64(target, value);
	return 0;
}

/* A name from guest memory; 0, or SYSCALL_TRAP. */
static int32_t get_name(struct runtime_instance *in, uint32_t name, uint32_t len, struct str *out)
{
	const uint8_t *data = guest_slice(in, name, len);
	if (data == NULL)
		return syscall_trap_pointer(in, name);
	if (!utf8_valid(data, len))
		return syscall_trap(in, "invalid utf8 passed to a spacetime function");
	*out = (struct str){ (const char *)data, len };
	return 0;
}

int32_t syscall_table_id_from_name(struct runtime_instance *in, uint32_t name, uint32_t len, uint32_t out)
{
	struct str text;
	if (get_name(in, name, len, &text) != 0)
		return SYSCALL_TRAP;
	if (!in->in_tx)
		return ERRNO_NOT_IN_TRANSACTION;
	const struct store_table *old = old_table(in, text);
	if (old != NULL)
		return put_u32(in, out, store_table_def(old)->id | OLD_TABLE);
	struct store_table *table = store_table_by_name(in->store, text);
	if (table == NULL || store_table_def(table)->id == ST_ENV)
		return ERRNO_NO_SUCH_TABLE;
	return put_u32(in, out, store_table_def(table)->id);
}

int32_t syscall_index_id_from_name(struct runtime_instance *in, uint32_t name, uint32_t len, uint32_t out)
{
	struct str text;
	if (get_name(in, name, len, &text) != 0)
		return SYSCALL_TRAP;
	if (!in->in_tx)
		return ERRNO_NOT_IN_TRANSACTION;
	struct store_index *index = store_index_by_name(in->store, text);
	if (index == NULL || store_index_def(index)->id == ST_ENV_KEY_INDEX)
		return ERRNO_NO_SUCH_INDEX;
	return put_u32(in, out, store_index_def(index)->id);
}

static void note_table(const struct runtime_instance *in, struct store_table *table)
{
	if (UNLIKELY(in->reads != NULL))
		in->reads->table(in->reads->context, table);
}

/* A range that can only be one key is that key. */
static void note_range(const struct runtime_instance *in, struct store_index *index, const struct store_range *range)
{
	const struct store_index_def *def = store_index_def(index);
	if (LIKELY(in->reads == NULL))
		return;
	bool is_point = range->prefix_elems + 1 == def->column_count && range->start_len == range->end_len &&
		range->start_len > 0 && range->start[0] == 0 && memcmp(range->start, range->end, range->start_len) == 0;
	if (!is_point) {
		in->reads->table(in->reads->context, store_index_table(index));
		return;
	}
	struct buf key = BUF_INIT(STORE_ROW_BYTES_MAX);
	buf_put(&key, range->prefix, range->prefix_len);
	buf_put(&key, range->start + 1, range->start_len - 1);
	if (key.failed)
		in->reads->table(in->reads->context, store_index_table(index));
	else
		in->reads->key(in->reads->context, index, buf_bytes(&key));
	buf_deinit(&key);
}

int32_t syscall_table_row_count(struct runtime_instance *in, uint32_t table_id, uint32_t out)
{
	if (!in->in_tx)
		return ERRNO_NOT_IN_TRANSACTION;
	struct store_table *table = table_to_read(in, table_id);
	if (table == NULL)
		return ERRNO_NO_SUCH_TABLE;
	note_table(in, table);
	return put_u64(in, out, store_table_row_count(table));
}

int32_t syscall_table_scan(struct runtime_instance *in, uint32_t table_id, uint32_t out)
{
	if (!in->in_tx)
		return ERRNO_NOT_IN_TRANSACTION;
	struct store_table *table = table_to_read(in, table_id);
	if (table == NULL)
		return ERRNO_NO_SUCH_TABLE;
	struct store_cursor cursor;
	note_table(in, table);
	store_scan(table, &cursor);
	return iterator_open(in, &cursor, false, out);
}

/* Reads a range from guest memory. 0 with an index, an errno, or SYSCALL_TRAP. */
static int32_t get_range(struct runtime_instance *in, const struct syscall_range *range, struct store_range *out,
	struct store_index **index)
{
	*index = NULL;
	if (range->prefix_elems > UINT16_MAX)
		return syscall_trap(in, "ABI violation, a `ColId` must be a `u16`");
	*out = (struct store_range){ .prefix_elems = range->prefix_elems };
	if (range->prefix_elems != 0) {
		out->prefix = guest_slice(in, range->prefix, range->prefix_len);
		out->prefix_len = range->prefix_len;
		if (out->prefix == NULL)
			return syscall_trap_pointer(in, range->prefix);
	}
	out->start = guest_slice(in, range->start, range->start_len);
	out->start_len = range->start_len;
	if (out->start == NULL)
		return syscall_trap_pointer(in, range->start);
	out->end = guest_slice(in, range->end, range->end_len);
	out->end_len = range->end_len;
	if (out->end == NULL)
		return syscall_trap_pointer(in, range->end);
	if (!in->in_tx)
		return ERRNO_NOT_IN_TRANSACTION;
	*index = index_by_id(in, range->index);
	return *index == NULL ? no_such_index(range->index) : 0;
}

/* The same for the key of a point lookup. */
static int32_t get_point(struct runtime_instance *in, uint32_t index_id, uint32_t point, uint32_t len,
	const uint8_t **key, struct store_index **index)
{
	*index = NULL;
	*key = guest_slice(in, point, len);
	if (*key == NULL)
		return syscall_trap_pointer(in, point);
	if (!in->in_tx)
		return ERRNO_NOT_IN_TRANSACTION;
	*index = index_by_id(in, index_id);
	return *index == NULL ? no_such_index(index_id) : 0;
}

int32_t syscall_index_scan_range(struct runtime_instance *in, const struct syscall_range *range, uint32_t out)
{
	struct store_range bounds;
	struct store_index *index;
	int32_t result = get_range(in, range, &bounds, &index);
	if (result != 0)
		return result;
	struct store_cursor cursor;
	enum store_status status = store_scan_range(index, &bounds, &cursor);
	if (status != STORE_OK)
		return failed(in, "datastore_index_scan_range_bsatn", status);
	note_range(in, index, &bounds);
	return iterator_open(in, &cursor, false, out);
}

int32_t syscall_index_scan_point(struct runtime_instance *in, uint32_t index_id, uint32_t point, uint32_t len,
	uint32_t out)
{
	const uint8_t *key;
	struct store_index *index;
	int32_t result = get_point(in, index_id, point, len, &key, &index);
	if (result != 0)
		return result;
	struct store_cursor cursor;
	enum store_status status = store_scan_point(index, key, len, &cursor);
	if (status != STORE_OK)
		return failed(in, "datastore_index_scan_point_bsatn", status);
	if (UNLIKELY(in->reads != NULL))
		in->reads->key(in->reads->context, index, (struct bytes){ key, len });
	return iterator_open(in, &cursor, true, out);
}

int32_t syscall_delete_range(struct runtime_instance *in, const struct syscall_range *range, uint32_t out)
{
	struct store_range bounds;
	struct store_index *index;
	int32_t result = get_range(in, range, &bounds, &index);
	if (result != 0)
		return result;
	uint32_t deleted;
	enum store_status status = store_delete_range(in->store, index, &bounds, &deleted);
	if (status != STORE_OK)
		return failed(in, "datastore_delete_by_index_scan_range_bsatn", status);
	return put_u32(in, out, deleted);
}

int32_t syscall_delete_point(struct runtime_instance *in, uint32_t index_id, uint32_t point, uint32_t len,
	uint32_t out)
{
	const uint8_t *key;
	struct store_index *index;
	int32_t result = get_point(in, index_id, point, len, &key, &index);
	if (result != 0)
		return result;
	uint32_t deleted;
	enum store_status status = store_delete_point(in->store, index, key, len, &deleted);
	if (status != STORE_OK)
		return failed(in, "datastore_delete_by_index_scan_point_bsatn", status);
	return put_u32(in, out, deleted);
}

int32_t syscall_delete_all_by_eq(struct runtime_instance *in, uint32_t table_id, uint32_t relation, uint32_t len,
	uint32_t out)
{
	const uint8_t *data = guest_slice(in, relation, len);
	if (data == NULL)
		return syscall_trap_pointer(in, relation);
	if (!in->in_tx)
		return ERRNO_NOT_IN_TRANSACTION;
	struct store_table *table = table_by_id(in, table_id);
	if (table == NULL)
		return ERRNO_NO_SUCH_TABLE;
	uint32_t deleted;
	enum store_status status = store_delete_all_by_eq(in->store, table, data, len, &deleted);
	if (status != STORE_OK)
		return failed(in, "datastore_delete_all_by_eq_bsatn", status);
	return put_u32(in, out, deleted);
}

/* The row argument of insert and update: its place in guest memory and the address of its length. */
static int32_t get_row(struct runtime_instance *in, uint32_t row, uint32_t row_len, uint8_t **data, uint8_t **len)
{
	*len = guest_slice(in, row_len, sizeof(uint32_t));
	if (*len == NULL)
		return syscall_trap_pointer(in, row_len);
	*data = guest_slice(in, row, load_u32(*len));
	if (*data == NULL)
		return syscall_trap_pointer(in, row);
	return in->in_tx ? 0 : ERRNO_NOT_IN_TRANSACTION;
}

int32_t syscall_insert(struct runtime_instance *in, uint32_t table_id, uint32_t row, uint32_t row_len)
{
	uint8_t *data, *len;
	int32_t result = get_row(in, row, row_len, &data, &len);
	if (result != 0)
		return result;
	struct store_table *table = table_by_id(in, table_id);
	if (table == NULL)
		return no_such_table(in, "datastore_insert_bsatn", table_id);
	size_t size = load_u32(len);
	struct store_row stored;
	enum store_status status = store_insert(in->store, table, data, &size, &stored);
	if (status != STORE_OK)
		return failed(in, "datastore_insert_bsatn", status);
	store_u32(len, (uint32_t)size);
	return 0;
}

int32_t syscall_update(struct runtime_instance *in, uint32_t table_id, uint32_t index_id, uint32_t row,
	uint32_t row_len)
{
	uint8_t *data, *len;
	int32_t result = get_row(in, row, row_len, &data, &len);
	if (result != 0)
		return result;
	struct store_table *table = table_by_id(in, table_id);
	if (table == NULL)
		return no_such_table(in, "datastore_update_bsatn", table_id);
	struct store_index *index = index_by_id(in, index_id);
	if (index == NULL || store_index_table(index) != table)
		return ERRNO_NO_SUCH_INDEX;
	size_t size = load_u32(len);
	struct store_row stored;
	enum store_status status = store_update(in->store, table, index, data, &size, &stored);
	if (status != STORE_OK)
		return failed(in, "datastore_update_bsatn", status);
	store_u32(len, (uint32_t)size);
	return 0;
}

int32_t syscall_clear(struct runtime_instance *in, uint32_t table_id, uint32_t out)
{
	if (!in->in_tx)
		return ERRNO_NOT_IN_TRANSACTION;
	struct store_table *table = table_by_id(in, table_id);
	if (table == NULL)
		return no_such_table(in, "datastore_clear", table_id);
	uint64_t deleted;
	enum store_status status = store_clear(in->store, table, &deleted);
	if (status != STORE_OK)
		return failed(in, "datastore_clear", status);
	return put_u64(in, out, deleted);
}
