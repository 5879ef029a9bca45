/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every statement of the conformance kit (WORLDLINE_CONFORMANCE names its folder) has one answer, whether the
 * planner may do all that it can, or nothing. Method: the kit's SQL module with its rows; each text that begins with
 * SELECT, UPDATE or DELETE, in both dialects, as the owner and as somebody else.
 */
#include "unit/database_fixture.h"
#include "unit/run_suite.h"

#include "base/map.h"
#include "query/query_internal.h"

#include <dirent.h>

enum { TEXTS_MAX = 1 << 16 };
static struct arena arena;
static struct map known;
static struct str texts[TEXTS_MAX];
static uint32_t text_count, selects, changes;

/* ---- texts ---- */

static bool begins(struct str text, const char *word)
{
	return text.len > strlen(word) && strncasecmp(text.data, word, strlen(word)) == 0;
}

static void take_statement(struct str text)
{
	uint64_t value;
	while (text.len > 0 && strchr(" \t\n", text.data[0]) != NULL)
		text = (struct str){ text.data + 1, text.len - 1 };
	if (!begins(text, "select") && !begins(text, "update") && !begins(text, "delete"))
		return;
	if (map_get(&known, text.data, text.len, &value))
		return;
	struct str copy = arena_str(&arena, text);
	ck_assert(copy.data != NULL && text_count < TEXTS_MAX && map_put(&known, copy.data, copy.len, 1));
	texts[text_count++] = copy;
}

/* What nests deeper than the reader allows has hostile statements, which other tests are for. */
static void take_file(const char *path)
{
	struct native_json doc = { 0 };
	char error[256];
	struct buf text = BUF_INIT(1 << 26);
	FILE *file = fopen(path, "rb");
	uint8_t chunk[1 << 16];
	ck_assert_msg(file != NULL, "%s", path);
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;)
		buf_put(&text, chunk, n);
	fclose(file);
	if (native_json_parse(buf_text(&text), text.len, &doc, error, sizeof(error)) == 0)
		for (size_t i = 0; i < doc.node_count; i++)
			if (doc.nodes[i].kind == NATIVE_JSON_STRING)
				take_statement((struct str){ (const char *)doc.nodes[i].text, doc.nodes[i].text_len });
	native_json_free(&doc);
	buf_deinit(&text);
}

static void take_texts(const char *kit)
{
	static const char *const areas[] = { "sql", "websocket", "http", "abi" };
	for (size_t a = 0; a < ARRAY_COUNT(areas); a++) {
		char path[1024];
		snprintf(path, sizeof(path), "%s/%s/cases", kit, areas[a]);
		DIR *dir = opendir(path);
		ck_assert_msg(dir != NULL, "%s", path);
		for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
			char file[2048];
			size_t len = strlen(entry->d_name);
			snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
			if (len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0)
				take_file(file);
		}
		closedir(dir);
	}
}

/* ---- answers ---- */

struct answer {
	enum wl_err err;
	uint64_t count, sum, checksum;
	struct query_effects effects;
};

static bool add_row(void *context, const uint8_t *row, size_t len)
{
	struct answer *answer = context;
	answer->count++;
	answer->sum += hash_bytes(row, len);
	return true;
}

static struct answer answer_of(struct store *store, const struct query *query, bool plain, struct buf *error)
{
	struct answer answer = { 0 };
	struct query_limits limits = { .plain = plain };
	if (query_kind(query) == QUERY_SELECT) {
		answer.err = query_select(query, store, &limits, add_row, &answer, error);
		if (query->limit != UINT64_MAX || query->extended != NULL)
			answer.sum = 0; /* any of the rows; in any order where that is not asked for */
		return answer;
	}
	store_tx_begin(store);
	answer.err = query_execute(query, store, &limits, &answer.effects, error);
	bool generates = store_table_def(query_table(query))->sequence_count > 0; /* other numbers each time */
	answer.checksum = answer.err == WL_OK && !generates ? store_table_checksum(query_table(query)) : 0;
	store_tx_rollback(store);
	return answer;
}

static void check(struct store *store, enum query_dialect dialect, struct str text, const struct query_caller *caller)
{
	struct buf error = BUF_INIT(1 << 20);
	struct query *query;
	if (query_compile(store, dialect, text, caller, &query, &error) == WL_OK &&
		(query_kind(query) == QUERY_SELECT || query_kind(query) == QUERY_UPDATE || query_kind(query) == QUERY_DELETE)) {
		struct answer planned = answer_of(store, query, false, &error), plain = answer_of(store, query, true, &error);
		ck_assert_msg(planned.err == plain.err && planned.count == plain.count && planned.sum == plain.sum &&
			planned.checksum == plain.checksum && planned.effects.deleted == plain.effects.deleted &&
			planned.effects.updated == plain.effects.updated, "%.*s: %d rows by its plan, %d without", (int)text.len,
			text.data, (int)planned.count, (int)plain.count);
		selects += query_kind(query) == QUERY_SELECT && planned.count > 0;
		changes += planned.effects.deleted + planned.effects.updated > 0;
	}
	query_destroy(query);
	buf_deinit(&error);
}

START_TEST(plans_do_not_change_answers)
{
	static const char *const views[] = { "adults", "first_user", "no_user", "tallies", "words", "online_users",
		"posters", "my_notes", "my_notes_keyed" };
	const char *kit = getenv("WORLDLINE_CONFORMANCE");
	struct engine engine;
	struct world world;
	struct buf text = BUF_INIT(1 << 20);
	char path[1024], line[128];
	if (kit == NULL)
		return;
	arena_init(&arena, 1 << 26);
	take_texts(kit);
	engine_init(&engine, 0, 60000);
	world_init(&world, &engine, NULL, false);
	snprintf(path, sizeof(path), "%s/sql/modules/kit_sql.wasm", kit);
	FILE *file = fopen(path, "rb");
	ck_assert_msg(file != NULL, "%s", path);
	uint8_t chunk[4096];
	buf_init(&world.extra_code, 1 << 26);
	for (size_t n; (n = fread(chunk, 1, sizeof(chunk), file)) > 0;)
		buf_put(&world.extra_code, chunk, n);
	fclose(file);
	struct database *db = NULL;
	ck_assert_msg(database_create(&world.options, RUNTIME_WASM, buf_bytes(&world.extra_code), NULL, &db, &text) ==
		WL_OK,
		"%s", buf_text(&text));
	world.db = db;
	struct query_caller owner = { .is_owner = true }, other = { 0 };
	store_u64(owner.identity.le, 1);
	store_u64(other.identity.le, 77);
	snprintf(line, sizeof(line), "[[\"0x1\"],[\"0x4d\"]]");
	buf_clear(&text);
	ck_assert_msg(world_http_call(&world, 1, "seed", line, &text) == DATABASE_COMMITTED, "%s", buf_text(&text));
	for (size_t i = 0; i < ARRAY_COUNT(views); i++) {
		snprintf(line, sizeof(line), "SELECT * FROM %s", views[i]);
		(void)world_sql(&world, line, &text);
	}
	for (uint32_t i = 0; i < text_count; i++)
		for (int dialect = 0; dialect < 2; dialect++)
			for (int as = 0; as < 2; as++)
				check(db->store, (enum query_dialect)dialect, texts[i], as == 0 ? &owner : &other);
	ck_assert_msg(selects > 1000 && changes > 50, "only %u SELECTs with rows and %u changes of %u texts", selects,
		changes, text_count);
	world_deinit(&world);
	engine_deinit(&engine);
	map_deinit(&known);
	arena_deinit(&arena);
	buf_deinit(&text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("query_kit");
	TCase *tests = tcase_create("kit");
	tcase_set_timeout(tests, 600);
	tcase_add_test(tests, plans_do_not_change_answers);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
