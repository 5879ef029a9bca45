/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold. After each step: the tables are what the model has, every
 * index agrees, and who reads unconfirmed has exactly what his queries select.
 * After each opening: what is there is a prefix of what had committed, in that
 * order, with everything that was confirmed; then nothing but the departures
 * of those whom the crash left behind. When all is quiet: nothing is left
 * unanswered, unconfirmed, read-only or overdue.
 */
#include "sim/sim.h"

static struct store_table *table_of(struct life *life, const char *name)
{
	struct store_table *table = store_table_by_name(life->world.db->store, str_of(name));
	ck_assert_ptr_nonnull(table);
	return table;
}

/* ---- what has committed ---- */

static int by_seq(const void *a, const void *b)
{
	const struct event *x = a, *y = b;
	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* The rows of `applied` behind `after`, in order. */
static uint32_t read_applied(struct life *life, uint64_t after, struct event *out)
{
	struct store_cursor cursor;
	struct store_row row;
	uint32_t count = 0;
	store_scan(table_of(life, "applied"), &cursor);
	while (store_cursor_next(&cursor, &row)) {
		struct event event = { load_u64(row.data), load_u64(row.data + 8), load_u64(row.data + 16) };
		if (event.seq <= after)
			continue;
		ck_assert_uint_lt(count, HISTORY_MAX);
		out[count++] = event;
	}
	qsort(out, count, sizeof(*out), by_seq);
	return count;
}

static void absorb(struct life *life)
{
	if (store_table_row_count(table_of(life, "applied")) == life->history_count)
		return;
	uint64_t last = life->history_count == 0 ? 0 : life->history[life->history_count - 1].seq;
	struct event *fresh = &life->history[life->history_count];
	ck_assert_uint_lt(life->history_count + 2048, HISTORY_MAX);
	uint32_t count = read_applied(life, last, fresh);
	for (uint32_t i = 0; i < count; i++) {
		life->history_count++;
		model_follow(life, &fresh[i]);
		life->counts.ticks += fresh[i].op >> 32 == EV_TICKED;
		note(life, "  committed %llu: %llx -> %llx", (unsigned long long)fresh[i].seq, (unsigned long long)fresh[i].op,
			(unsigned long long)fresh[i].value);
	}
	life->counts.commits += count;
	if (store_table_row_count(table_of(life, "applied")) != life->history_count)
		violate(life, "rows of `applied` are missing, or have numbers that were given before");
}

/* ---- tables against the model ---- */

static uint64_t digest_rows(struct store_table *table, uint32_t *count)
{
	struct store_cursor cursor;
	struct store_row row;
	uint64_t digest = 0;
	*count = 0;
	store_scan(table, &cursor);
	for (; store_cursor_next(&cursor, &row); ++*count)
		digest += hash_bytes(row.data, row.len);
	return digest;
}

static void check_digest(struct life *life, const char *name, uint64_t wanted, uint32_t wanted_count)
{
	uint32_t count;
	uint64_t digest = digest_rows(table_of(life, name), &count);
	if (count != wanted_count || digest != wanted)
		violate(life, "table %s has %u rows, the model %u%s", name, count, wanted_count,
			count == wanted_count ? ", others" : "");
}

static void check_items(struct life *life)
{
	uint8_t row[ITEM_BYTES_MAX];
	uint64_t wanted = 0;
	for (uint32_t i = 0; i < life->model.item_count; i++)
		wanted += hash_bytes(row, item_encode(&life->model.items[i], row));
	check_digest(life, "item", wanted, life->model.item_count);
	uint8_t crew[5];
	uint32_t crews = 0;
	wanted = 0;
	for (uint32_t i = 0; i < CREWS; i++) {
		store_u32(crew, i);
		crew[4] = life->model.crew_open[i];
		wanted += life->model.crew_there[i] ? hash_bytes(crew, sizeof(crew)) : 0;
		crews += life->model.crew_there[i];
	}
	check_digest(life, "crew", wanted, crews);
	check_digest(life, "noise", 0, 0);
}

/* A timer that has ticked once goes in a transaction of its own, some time later. */
static void check_timers(struct life *life)
{
	static bool seen[TIMERS_MAX];
	struct model *m = &life->model;
	struct store_cursor cursor;
	struct store_row row;
	memset(seen, 0, sizeof(seen));
	store_scan(table_of(life, "timer"), &cursor);
	while (store_cursor_next(&cursor, &row)) {
		uint32_t i = 0;
		while (i < m->timer_count && m->timers[i].id != load_u64(row.data))
			i++;
		if (i == m->timer_count || (row.data[8] != 0) != m->timers[i].is_time ||
			(int64_t)load_u64(row.data + 9) != m->timers[i].micros || load_u64(row.data + 17) != m->timers[i].op)
			violate(life, "timer %llu is there and should not, or is another", (unsigned long long)load_u64(row.data));
		else
			seen[i] = true;
	}
	for (uint32_t i = m->timer_count; i-- > 0;) {
		if (seen[i])
			continue;
		if (!m->timers[i].may_be_gone)
			violate(life, "timer %llu is gone", (unsigned long long)m->timers[i].id);
		m->timer_count--;
		m->timers[i] = m->timers[m->timer_count];
		seen[i] = seen[m->timer_count];
	}
}

/* Rows that only SQL writes have no line in `applied`: what was answered is there, nothing that nobody asked for. */
static void check_noted(struct life *life)
{
	static bool there[NOTED_MAX];
	struct store_cursor cursor;
	struct store_row row;
	memset(there, 0, sizeof(there));
	store_scan(table_of(life, "noted"), &cursor);
	while (store_cursor_next(&cursor, &row)) {
		uint64_t n = load_u64(row.data);
		if (n >= life->noted_count || there[n])
			violate(life, "noted %llu was never asked for, or is there twice", (unsigned long long)n);
		else
			there[n] = true;
	}
	for (uint32_t n = 0; n < life->noted_count; n++)
		if (life->noted[n].told && !there[n] && !life->may_lose)
			violate(life, "noted %u was confirmed and is lost", n);
}

/* Every row is found by the key of each of its indexes, once, and no index has more rows than its table. */
static void check_index(struct life *life, struct store_table *table, struct store_index *index)
{
	const struct store_index_def *def = store_index_def(index);
	struct store_cursor rows, found;
	struct store_row row, one;
	store_scan(table, &rows);
	while (store_cursor_next(&rows, &row)) {
		uint8_t key[4096];
		size_t len = 0;
		for (uint32_t c = 0; c < def->column_count; c++) {
			const struct sats_row_layout *layout = store_table_layout(table);
			const uint8_t *at = sats_column(layout, row.data, def->columns[c]);
			const uint8_t *end = def->columns[c] + 1u < store_table_def(table)->column_count
				? sats_column(layout, row.data, def->columns[c] + 1u) : row.data + row.len;
			ck_assert_uint_le(len + (size_t)(end - at), sizeof(key));
			memcpy(key + len, at, (size_t)(end - at));
			len += (size_t)(end - at);
		}
		uint32_t times = 0;
		if (store_scan_point(index, key, len, &found) == STORE_OK)
			while (store_cursor_next(&found, &one))
				times += one.number == row.number;
		if (times != 1)
			violate(life, "index %.*s finds a row %u times", STR_FMT(def->name), times);
	}
}

static void check_indexes(struct life *life)
{
	static const char *const names[] = { "item", "timer", "crew", "noted", "st_client" };
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		struct store_table *table = table_of(life, names[i]);
		for (uint32_t k = 0; k < store_table_def(table)->index_count; k++)
			check_index(life, table, store_table_index(table, k));
	}
}

void check_step(struct life *life)
{
	struct world *w = &life->world;
	life->counts.steps++;
	if (w->db == NULL || life->violation[0] != '\0')
		return;
	absorb(life);
	if (life->off_by_one && life->model.item_count > 20)
		life->model.items[20].score++;
	check_items(life);
	check_timers(life);
	check_noted(life);
	if (life->counts.steps % 16 == 0)
		check_indexes(life);
	if (w->order_faults != 0)
		violate(life, "blocks came out of order");
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		const struct line *line = &w->lines[i];
		/* One that was lost hears nothing more; that it ends is check_quiet's. */
		if (line->client != NULL && !line->client->is_lost && (!line->confirmed || w->waiting[line->loop] == NULL))
			cache_check(life, line);
	}
}

/* ---- after opening ---- */

static uint32_t running_version(struct life *life)
{
	const struct engine *engine = life->world.engine;
	return memcmp(life->world.db->module.hash, engine->hash, 32) == 0 ? 1 : 2;
}

/* `kept` events are left of the history: which versions may run, and does the right one? */
static void check_version(struct life *life, uint32_t kept)
{
	uint32_t version = 1, may = 1, updates = 0;
	for (uint32_t i = 0; i < life->update_count; i++) {
		if (life->updates[i].at < kept) {
			version = may = life->updates[i].version;
			updates = i + 1;
		} else if (life->updates[i].at == kept) {
			may = life->updates[i].version;
		}
	}
	uint32_t runs = running_version(life);
	if (runs != version && runs != may && !life->may_lose)
		violate(life, "version %u runs, of an update that is %s", runs, runs > version ? "lost" : "there");
	life->update_count = updates;
	if (runs != version) {
		life->updates[updates].at = kept;
		life->updates[updates].version = runs;
		life->update_count++;
	}
}

static void check_confirmed(struct life *life, uint32_t kept)
{
	static bool there[OPS_MAX];
	memset(there, 0, sizeof(there));
	for (uint32_t i = 0; i < kept; i++)
		if (life->history[i].op < life->op_count)
			there[life->history[i].op] = true;
	for (uint32_t i = 0; i < life->op_count; i++)
		if (life->ops[i].confirmed && !there[i] && !life->may_lose)
			violate(life, "call %u was confirmed and is lost", i);
}

void check_opened(struct life *life)
{
	static struct event found[HISTORY_MAX];
	uint32_t count = read_applied(life, 0, found), kept = 0;
	while (kept < count && kept < life->history_count &&
		memcmp(&found[kept], &life->history[kept], sizeof(*found)) == 0)
		kept++;
	for (uint32_t i = kept; i < count; i++)
		if (found[i].op >> 32 != EV_GONE)
			violate(life, "behind %u of %u commits something else is there: %llx", kept, life->history_count,
				(unsigned long long)found[i].op);
	note(life, "opened: %u of %u commits are there, and %u departures", kept, life->history_count, count - kept);
	check_confirmed(life, kept);
	check_version(life, kept);
	life->counts.lost += life->history_count - kept;
	memcpy(life->history + kept, found + kept, (count - kept) * sizeof(*found));
	life->history_count = count;
	if (life->violation[0] == '\0')
		model_rebuild(life);
	if (world_count(&life->world, "st_client") != 0 || world_count(&life->world, "st_connection_credentials") != 0)
		violate(life, "clients are left");
	check_step(life);
	check_indexes(life);
}

/* ---- when faults have stopped ---- */

static void check_answers(struct life *life)
{
	for (uint32_t i = 0; i < life->op_count; i++) {
		const struct op *op = &life->ops[i];
		const struct line *line = op->conn == 0 ? NULL : world_line(&life->world, op->conn);
		if (line != NULL && !line->ended && !op->answered)
			violate(life, "call %u of connection %llu was never answered", i, (unsigned long long)op->conn);
	}
}

/* st_client has who is connected, and nobody else. */
static void check_clients(struct life *life)
{
	const struct world *w = &life->world;
	uint64_t connected = 0;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		connected += w->lines[i].client != NULL && w->lines[i].client->connected;
	if (world_count(&life->world, "st_client") != connected ||
		world_count(&life->world, "st_connection_credentials") != connected)
		violate(life, "%llu clients are in st_client, %llu are connected",
			(unsigned long long)world_count(&life->world, "st_client"), (unsigned long long)connected);
}

void check_quiet(struct life *life)
{
	struct world *w = &life->world;
	life->counts.calms++;
	check_clients(life);
	if (commitlog_state(w->db->commitlog) != COMMITLOG_OK)
		violate(life, "the log does not recover: state %d", commitlog_state(w->db->commitlog));
	if (w->waiting[0] != NULL || w->waiting[1] != NULL)
		violate(life, "something still waits to be confirmed");
	if (database_durable(w->db) != w->db->offset)
		violate(life, "not everything is durable");
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (w->lines[i].client != NULL && !w->lines[i].ended && (!w->lines[i].resumed || w->lines[i].client->is_lost))
			violate(life, "connection %llu was never let in, or never cut off", (unsigned long long)w->lines[i].conn);
	check_answers(life);
	for (uint32_t i = 0; i < life->model.timer_count; i++)
		if (life->model.timers[i].is_time && life->model.timers[i].micros < life->now - 3000000)
			violate(life, "timer %llu is overdue by %lld us", (unsigned long long)life->model.timers[i].id,
				(long long)(life->now - life->model.timers[i].micros));
	check_step(life);
	check_indexes(life);
}
