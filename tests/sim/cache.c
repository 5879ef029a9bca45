/* SPDX-License-Identifier: Apache-2.0 */
/* What clients hold: messages applied to their sets of rows, and compared with the tables by predicates of our own. */
#include "sim/sim.h"

const char *cache_query(uint32_t query)
{
	static const char *const texts[QUERIES] = {
		"SELECT * FROM item", "SELECT * FROM item WHERE team = 2", "SELECT * FROM item WHERE score > 50",
		"SELECT * FROM rich", "SELECT item.* FROM item JOIN crew ON item.team = crew.id WHERE crew.open = true",
		"SELECT * FROM timer", "SELECT * FROM noted", "SELECT * FROM noise", "SELECT * FROM mine",
		"SELECT * FROM item WHERE name = 'n3'",
	};
	return texts[query];
}

/* ---- sets ---- */

struct cache *cache_of(struct life *life, uint64_t conn, bool make)
{
	struct cache *free_one = NULL;
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (life->caches[i].conn == conn)
			return &life->caches[i];
		if (life->caches[i].conn == 0)
			free_one = &life->caches[i];
	}
	if (!make)
		return NULL;
	ck_assert_ptr_nonnull(free_one);
	free_one->conn = conn;
	return free_one;
}

static void set_end(struct set *set)
{
	free(set->rows);
	*set = (struct set){ 0 };
}

void cache_forget(struct life *life, uint64_t conn)
{
	struct cache *cache = cache_of(life, conn, false);
	for (size_t i = 0; cache != NULL && i < SETS_MAX; i++)
		set_end(&cache->sets[i]);
	if (cache != NULL)
		*cache = (struct cache){ 0 };
}

static struct set *set_of(struct cache *cache, uint32_t id)
{
	for (size_t i = 0; i < SETS_MAX; i++)
		if (cache->sets[i].id == id)
			return &cache->sets[i];
	return NULL;
}

static void set_change(struct life *life, struct set *set, uint64_t row, bool add)
{
	if (add) {
		if (set->count == set->cap) {
			set->cap = set->cap == 0 ? 64 : set->cap * 2;
			set->rows = realloc(set->rows, set->cap * sizeof(*set->rows));
			ck_assert_ptr_nonnull(set->rows);
		}
		set->rows[set->count++] = row;
		return;
	}
	for (uint32_t i = 0; i < set->count; i++)
		if (set->rows[i] == row) {
			set->rows[i] = set->rows[--set->count];
			return;
		}
	violate(life, "a client is told to forget a row of \"%s\" that it never had", cache_query(set->query));
}

/* ---- messages ---- */

enum { ROWS_ADD, ROWS_REMOVE, ROWS_IGNORE };

static void read_rows(struct life *life, struct reader *r, struct set *set, int how)
{
	struct bytes offsets = { NULL, 0 };
	uint32_t size = 0;
	bool fixed = reader_u8(r) == 0;
	if (fixed) {
		size = reader_u16(r);
	} else {
		offsets.len = reader_u32(r);
		offsets.data = reader_take(r, offsets.len * 8, "offsets");
	}
	struct bytes data = reader_bsatn_bytes(r);
	ck_assert(!r->failed);
	uint32_t count = (uint32_t)(fixed ? (size == 0 ? 0 : data.len / size) : offsets.len);
	for (uint32_t i = 0; i < count; i++) {
		size_t from = fixed ? (size_t)i * size : load_u64(offsets.data + (size_t)i * 8);
		size_t to = fixed ? from + size : i + 1 < count ? load_u64(offsets.data + (size_t)(i + 1) * 8) : data.len;
		ck_assert(from <= to && to <= data.len);
		if (set != NULL && how != ROWS_IGNORE)
			set_change(life, set, hash_bytes(data.data + from, to - from), how == ROWS_ADD);
	}
}

static void read_tables(struct life *life, struct reader *r, struct set *set, int how)
{
	for (uint32_t n = reader_u32(r); n > 0 && !r->failed; n--) {
		(void)reader_bsatn_str(r);
		read_rows(life, r, set, how);
	}
}

static void read_update(struct life *life, struct reader *r, struct cache *cache)
{
	for (uint32_t sets = reader_u32(r); sets > 0 && !r->failed; sets--) {
		struct set *set = set_of(cache, reader_u32(r));
		if (set == NULL)
			violate(life, "a client is told of a set that it does not have");
		for (uint32_t tables = reader_u32(r); tables > 0 && !r->failed; tables--) {
			(void)reader_bsatn_str(r);
			for (uint32_t n = reader_u32(r); n > 0 && !r->failed; n--) {
				if (reader_u8(r) == 1) {
					read_rows(life, r, set, ROWS_IGNORE);
				} else {
					read_rows(life, r, set, ROWS_ADD);
					read_rows(life, r, set, ROWS_REMOVE);
				}
			}
		}
	}
}

static void read_result(struct life *life, struct reader *r, struct cache *cache)
{
	uint32_t request = reader_u32(r);
	(void)reader_u64(r);
	uint8_t outcome = reader_u8(r);
	uint32_t number = request < ARRAY_COUNT(life->requests) ? life->requests[request] : 0;
	struct op *op = number == 0 ? NULL : &life->ops[number - 1];
	if (op == NULL || op->answered || op->conn != cache->conn) {
		violate(life, "an answer to what nobody asked: request %u", request);
		return;
	}
	const struct line *line = world_line(&life->world, cache->conn);
	op->answered = true;
	op->told_ok = outcome <= 1;
	op->told_not = outcome > 1;
	op->confirmed = op->told_ok && line != NULL && line->confirmed;
	life->counts.confirmed += op->confirmed;
	if (op->told_ok && (op->kind == OP_FAILS || op->kind == OP_TRAPS))
		violate(life, "call %u fails, and its caller was told that it did not", number - 1);
	if (outcome == OUTCOME_OK) {
		(void)reader_bsatn_bytes(r);
		read_update(life, r, cache);
	}
}

static void read_message(struct life *life, struct cache *cache, const uint8_t *data, size_t len)
{
	struct reader r = reader_of(data, len);
	struct set *set;
	switch (reader_u8(&r)) {
	case GOT_SUBSCRIBED:
		(void)reader_u32(&r);
		set = set_of(cache, reader_u32(&r));
		ck_assert_ptr_nonnull(set);
		set->applied = true;
		read_tables(life, &r, set, ROWS_ADD);
		break;
	case 2: /* unsubscribed, without rows */
		(void)reader_u32(&r);
		set = set_of(cache, reader_u32(&r));
		ck_assert_ptr_nonnull(set);
		set_end(set);
		break;
	case GOT_SUBSCRIPTION_ERROR:
		if (reader_u8(&r) == 0)
			(void)reader_u32(&r);
		set = set_of(cache, reader_u32(&r));
		if (life->reliable && set != NULL)
			violate(life, "\"%s\" was refused", cache_query(set->query));
		if (set != NULL)
			set_end(set);
		break;
	case GOT_UPDATE: read_update(life, &r, cache); break;
	case GOT_RESULT: read_result(life, &r, cache); break;
	default: break;
	}
}

static bool receives(const struct cache *cache, const struct delivery_entry *e)
{
	if (e->kind == DELIVERY_CLASS)
		return cache->follows == e->to && cache->conn != e->other;
	return cache->conn == e->to;
}

void cache_entry(struct world *w, const struct delivery_entry *e)
{
	struct life *life = w->context;
	const struct delivery_shared *shared = e->kind == DELIVERY_SHARED ? (const void *)(uintptr_t)e->other : NULL;
	size_t len = e->body_len + (shared == NULL ? 0 : shared->data.len);
	uint8_t *whole = malloc(len + 1);
	ck_assert_ptr_nonnull(whole);
	memcpy(whole, e->body, e->body_len);
	if (shared != NULL && shared->data.len > 0)
		memcpy(whole + e->body_len, shared->data.data, shared->data.len);
	note(life, "  entry %u to %llu: %zu bytes, %016llx", e->kind, (unsigned long long)e->to, len,
		(unsigned long long)hash_bytes(whole, len));
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct cache *cache = &life->caches[i];
		const struct line *line = cache->conn == 0 ? NULL : world_line(w, cache->conn);
		if (line == NULL || line->ended || !receives(cache, e))
			continue;
		if (e->kind == DELIVERY_FOLLOW)
			cache->follows = e->other;
		else if (e->kind == DELIVERY_MESSAGE || e->kind == DELIVERY_CLASS || e->kind == DELIVERY_SHARED)
			read_message(life, cache, whole, len);
	}
	free(whole);
}

/* ---- against the tables ---- */

static bool crew_is_open(const struct life *life, uint32_t team)
{
	return team < CREWS && life->model.crew_there[team] && life->model.crew_open[team];
}

static bool item_fits(const struct life *life, uint32_t query, const struct line *line, const struct item *item)
{
	switch (query) {
	case 0: return true;
	case 1: return item->team == 2;
	case 2: return item->score > 50;
	case 3: return item->team == 1 && item->score >= 50;
	case 4: return crew_is_open(life, item->team);
	case 8: return item->team == line->client->caller.identity.le[0] % 4;
	case 9: return item->name == 3;
	default: return false;
	}
}

static const char *table_of_query(uint32_t query)
{
	return query == 5 ? "timer" : query == 6 ? "noted" : "noise";
}

static uint64_t expected(struct life *life, uint32_t query, const struct line *line, uint32_t *count)
{
	uint64_t sum = 0;
	*count = 0;
	if (query >= 5 && query <= 7) {
		struct store_cursor cursor;
		struct store_row row;
		store_scan(store_table_by_name(life->world.db->store, str_of(table_of_query(query))), &cursor);
		for (; store_cursor_next(&cursor, &row); ++*count)
			sum += hash_bytes(row.data, row.len);
		return sum;
	}
	for (uint32_t i = 0; i < life->model.item_count; i++) {
		uint8_t row[ITEM_BYTES_MAX];
		if (!item_fits(life, query, line, &life->model.items[i]))
			continue;
		sum += hash_bytes(row, item_encode(&life->model.items[i], row));
		++*count;
	}
	return sum;
}

void cache_check(struct life *life, const struct line *line)
{
	const struct cache *cache = cache_of(life, line->conn, false);
	if (cache == NULL || line->ended)
		return;
	for (size_t i = 0; i < SETS_MAX; i++) {
		const struct set *set = &cache->sets[i];
		if (set->id == 0 || !set->applied)
			continue;
		uint32_t count;
		uint64_t wanted = expected(life, set->query, line, &count), sum = 0;
		for (uint32_t k = 0; k < set->count; k++)
			sum += set->rows[k];
		life->counts.caches++;
		if (count != set->count || sum != wanted)
			violate(life, "connection %llu has %u rows of \"%s\", there are %u%s", (unsigned long long)line->conn,
				set->count, cache_query(set->query), count, count == set->count ? ", others" : "");
	}
}
