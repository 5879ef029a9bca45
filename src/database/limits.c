/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a database may take of memory and disk. A limit stops growth, not
 * life: deleting, changing and reading go on, so that whoever has reached it
 * can make room, and clients come and go.
 */
#include "database/database_internal.h"

static bool adds_rows(const struct store_delta *delta)
{
	int64_t added = 0;
	for (uint32_t i = 0; i < delta->table_count; i++) {
		const struct store_delta_table *t = &delta->tables[i];
		const struct store_table_def *def = store_table_def(t->table);
		if (!def->is_system && !def->is_event && !def->is_ephemeral)
			added += (int64_t)t->inserts.count - (int64_t)t->deletes.count;
	}
	return added > 0;
}

static bool refuse(struct buf *error, const char *of, uint64_t max, const char *setting)
{
	buf_printf(error, "the database has reached its limit of %llu MB of %s: delete rows, or raise limits.%s in the "
		"host's config.toml", (unsigned long long)(max >> 20), of, setting);
	return false;
}

bool db_limits_allow(const struct database *db, const struct store_delta *delta, struct buf *error)
{
	uint64_t memory_max = db->options.memory_max, disk_max = db->options.disk_max;
	if (LIKELY(memory_max == 0 && disk_max == 0))
		return true;
	uint64_t disk = db->commitlog == NULL ? 0
		: commitlog_size_bytes(db->commitlog) + atomic_load_explicit(&db->snapshots.disk_bytes, memory_order_relaxed);
	uint64_t memory = atomic_load_explicit(&db->row_bytes, memory_order_relaxed) +
		atomic_load_explicit(&db->index_bytes, memory_order_relaxed) +
		atomic_load_explicit(&db->guest_bytes, memory_order_relaxed);
	bool too_large = memory_max != 0 && memory > memory_max;
	if (LIKELY(!too_large && (disk_max == 0 || disk <= disk_max)) || !adds_rows(delta))
		return true;
	return too_large ? refuse(error, "memory", memory_max, "database-memory-mb")
		: refuse(error, "disk", disk_max, "database-disk-mb");
}
