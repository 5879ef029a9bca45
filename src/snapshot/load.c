/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a snapshot: into a store, or only to see that it is good. */
#include "base/thread.h"
#include "snapshot/snapshot_internal.h"

#include <inttypes.h>

enum { THREADS_MAX = 8 };

static void tell(const struct reading *reading, struct snapshot_info *info)
{
	if (info == NULL)
		return;
	*info = (struct snapshot_info){ .database = reading->header.database, .offset = reading->header.offset,
		.bytes = reading->windows[0].size, .micros = reading->contents.micros,
		.tables = reading->contents.table_count, .files = reading->contents.file_count };
	for (uint32_t i = 0; i < reading->contents.table_count; i++)
		info->rows += reading->contents.tables[i].rows;
}

static enum wl_err misfit(const struct reading *reading, uint32_t id, const char *what)
{
	return fail(reading->error, WL_ERR_CORRUPT, "%s: table %u %s", reading->windows[0].path, id, what);
}

/* ---- rows ---- */

/* Are these the only rows of the table? */
static bool is_only(const struct contents_table *table, uint32_t page)
{
	return page == 0 && table->page_count == 1;
}

static enum wl_err load_table(struct reading *reading, struct store *store, const struct contents_table *table)
{
	struct store_table *to = store_table_by_id(store, table->id);
	if (to == NULL)
		return misfit(reading, table->id, "is not a system table of this version and has no definition");
	if (store_table_row_count(to) > 0)
		store_image_clear(to);
	if (table->page_count > 0 && store_image_page_slots(to) != table->page_slots)
		return misfit(reading, table->id, "has pages of another size");
	for (uint32_t p = 0; p < table->page_count; p++) {
		const struct page_ref *page = &table->pages[p];
		struct bytes image;
		uint64_t checksum;
		if (page->len == 0)
			continue;
		enum wl_err err = reading_page(reading, page, &image);
		if (err == WL_OK)
			err = store_image_get(to, p, is_only(table, p), image, &checksum, reading->error);
		if (err != WL_OK)
			return err;
		if (checksum != page->checksum)
			return misfit(reading, table->id, "has rows whose checksum does not match");
	}
	return store_table_row_count(to) == table->rows ? WL_OK : misfit(reading, table->id, "has another number of rows");
}

static enum wl_err load_tables(struct reading *reading, struct store *store)
{
	const struct contents *contents = &reading->contents;
	enum wl_err err = WL_OK;
	for (uint32_t i = 0; i < contents->table_count && err == WL_OK; i++) {
		const struct contents_table *table = &contents->tables[i];
		if (table->def.len > 0)
			err = store_replay_table(store, table->def.data, table->def.len, reading->error);
		if (err == WL_OK)
			err = load_table(reading, store, table);
	}
	return err;
}

/* ---- indexes, each by one thread ---- */

struct build {
	struct store_table *table;
	uint32_t index;
};
struct builds {
	struct build *list;
	uint32_t count;
	_Atomic uint32_t next;
	_Atomic bool failed;
	pthread_mutex_t lock; /* guards err and error */
	enum wl_err err;
	struct error error;
};

static void build_some(void *arg)
{
	struct builds *builds = arg;
	uint32_t i;
	while (!atomic_load(&builds->failed) && (i = atomic_fetch_add(&builds->next, 1)) < builds->count) {
		struct error why;
		enum wl_err err = store_image_index(builds->list[i].table, builds->list[i].index, &why);
		if (err == WL_OK)
			continue;
		pthread_mutex_lock(&builds->lock);
		builds->err = err;
		builds->error = why;
		pthread_mutex_unlock(&builds->lock);
		atomic_store(&builds->failed, true);
	}
}

/* Only what is worth a thread. */
enum { ROWS_FOR_A_THREAD = 50000 };

static void build_all(struct builds *builds)
{
	pthread_t threads[THREADS_MAX];
	uint32_t large = 0, started = 0;
	for (uint32_t i = 0; i < builds->count; i++)
		large += store_table_row_count(builds->list[i].table) >= ROWS_FOR_A_THREAD;
	while (started + 1 < large && started + 1 < thread_cpu_count() && started < THREADS_MAX &&
		thread_start(&threads[started], "index", 0, build_some, builds))
		started++;
	build_some(builds);
	for (uint32_t i = 0; i < started; i++)
		thread_join(threads[i]);
}

static enum wl_err load_indexes(struct store *store, struct error *error)
{
	struct builds builds = { .err = WL_OK };
	for (struct store_table *t = NULL; (t = store_table_next(store, t)) != NULL;)
		builds.count += store_image_indexes(t);
	builds.list = mem_alloc(size_max(builds.count * sizeof(*builds.list), 1));
	if (builds.list == NULL)
		return fail(error, WL_ERR_MEMORY, "out of memory");
	builds.count = 0;
	for (struct store_table *t = NULL; (t = store_table_next(store, t)) != NULL;)
		for (uint32_t i = 0; store_table_row_count(t) > 0 && i < store_image_indexes(t); i++)
			builds.list[builds.count++] = (struct build){ t, i };
	pthread_mutex_init(&builds.lock, NULL);
	build_all(&builds);
	pthread_mutex_destroy(&builds.lock);
	mem_free(builds.list);
	if (builds.err != WL_OK)
		*error = builds.error;
	return builds.err;
}

enum wl_err snapshot_load(struct storage *storage, const char *dir, uint64_t offset, struct store *store,
	struct snapshot_info *info, struct error *error)
{
	struct reading reading;
	enum wl_err err = reading_open(&reading, storage, dir, offset, error);
	if (err == WL_OK)
		err = load_tables(&reading, store);
	if (err == WL_OK)
		err = load_indexes(store, error);
	if (err == WL_OK)
		tell(&reading, info);
	reading_close(&reading);
	return err;
}

enum wl_err snapshot_load_table(struct storage *storage, const char *dir, uint64_t offset, uint32_t table,
	struct store *store, struct snapshot_info *info, struct error *error)
{
	struct reading reading;
	enum wl_err err = reading_open(&reading, storage, dir, offset, error);
	for (uint32_t i = 0; err == WL_OK && i < reading.contents.table_count; i++)
		if (reading.contents.tables[i].id == table)
			err = load_table(&reading, store, &reading.contents.tables[i]);
	if (err == WL_OK)
		tell(&reading, info);
	reading_close(&reading);
	return err;
}

/* ---- checking ---- */

enum wl_err snapshot_verify(struct storage *storage, const char *dir, uint64_t offset,
	void (*progress)(void *context, uint64_t done, uint64_t of), void *context, struct snapshot_info *info,
	struct error *error)
{
	struct reading reading;
	enum wl_err err = reading_open(&reading, storage, dir, offset, error);
	uint64_t done = 0, of = 0;
	const struct contents *contents = &reading.contents;
	for (uint32_t t = 0; err == WL_OK && t < contents->table_count; t++)
		for (uint32_t p = 0; p < contents->tables[t].page_count; p++)
			of += contents->tables[t].pages[p].len;
	for (uint32_t t = 0; err == WL_OK && t < contents->table_count; t++) {
		const struct contents_table *table = &contents->tables[t];
		for (uint32_t p = 0; err == WL_OK && p < table->page_count; p++) {
			struct bytes image;
			if (table->pages[p].len == 0)
				continue;
			err = reading_page(&reading, &table->pages[p], &image);
			done += table->pages[p].len;
			if (progress != NULL)
				progress(context, done, of);
		}
	}
	if (err == WL_OK)
		tell(&reading, info);
	reading_close(&reading);
	return err;
}
