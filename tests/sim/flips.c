/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bits that turned, in each region of a log. Either the opening refuses, names
 * file and byte and changes nothing; or the database is what it was; or, where
 * nothing can tell a turned bit from a write that the crash tore (the last
 * batch of a log that was not closed), what is lost is named and the rest is a
 * prefix. Never anything else.
 */
#include "sim/sim.h"
#include "base/log.h"

#include <fcntl.h>
#include <sys/mman.h>

enum { ACTIONS = 300, FILES_MAX = 64, SPOTS_MAX = 1 << 16, SEED = 11, SEGMENT_HEADER = 64, BATCH_HEADER = 32 };
enum region { IN_SEGMENT_HEADER, IN_BATCH_HEADER, IN_PAYLOAD, IN_PADDING, IN_REST, REGIONS };
static const char *const names[REGIONS] = { "segment headers", "batch headers", "payloads", "padding",
	"room not yet used" };

struct file {
	char path[128];
	struct buf content;
};
struct spot { /* bytes of one region in one file */
	uint32_t file;
	uint64_t at, len;
	bool is_last;     /* of the last batch, or behind it */
};
struct flips {
	struct life *life;
	struct file files[FILES_MAX];
	uint32_t file_count;
	struct spot spots[REGIONS][SPOTS_MAX / 16];
	uint32_t spot_count[REGIONS];
	/* What the database was. */
	struct event history[HISTORY_MAX];
	uint32_t history_count, update_count;
	struct model model;
	uint64_t refused, harmless, lost, wrong;
};

/* ---- the log as it was ---- */

static void collect(void *context, const char *name)
{
	struct flips *f = context;
	ck_assert_uint_lt(f->file_count, FILES_MAX);
	struct file *file = &f->files[f->file_count++];
	snprintf(file->path, sizeof(file->path), "%s/log/%s", f->life->world.dir, name);
	buf_init(&file->content, 64 << 20);
	ck_assert(storage_faulty_get(f->life->disk, file->path, &file->content));
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static void add_spot(struct flips *f, enum region region, uint32_t file, uint64_t at, uint64_t len)
{
	if (len == 0)
		return;
	ck_assert_uint_lt(f->spot_count[region], ARRAY_COUNT(f->spots[0]));
	f->spots[region][f->spot_count[region]++] = (struct spot){ file, at, len, false };
}

/* By the layout that src/commitlog/README.md gives. */
static void find_spots(struct flips *f)
{
	uint32_t last_file = 0;
	uint64_t last_at = 0;
	for (uint32_t i = 0; i < f->file_count; i++) {
		const struct buf *c = &f->files[i].content;
		uint32_t tag = (uint32_t)load_u64(c->data + 24) | 1;
		uint64_t at = SEGMENT_HEADER;
		add_spot(f, IN_SEGMENT_HEADER, i, 0, SEGMENT_HEADER);
		while (at + BATCH_HEADER <= c->len && load_u32(c->data + at) == tag) {
			uint64_t len = load_u32(c->data + at + 16) & 0xffffff, end = at + BATCH_HEADER + len;
			add_spot(f, IN_BATCH_HEADER, i, at, BATCH_HEADER);
			add_spot(f, IN_PAYLOAD, i, at + BATCH_HEADER, len);
			add_spot(f, IN_PADDING, i, end, align_up(end, 8) - end);
			last_file = i;
			last_at = at;
			at = align_up(end, 8);
		}
		add_spot(f, IN_REST, i, at, c->len - at);
	}
	for (int r = 0; r < REGIONS; r++)
		for (uint32_t k = 0; k < f->spot_count[r]; k++) {
			struct spot *spot = &f->spots[r][k];
			spot->is_last = spot->file > last_file || (spot->file == last_file && spot->at >= last_at);
		}
}

static bool is_saved(const struct flips *f, const char *path)
{
	for (uint32_t i = 0; i < f->file_count; i++)
		if (strcmp(f->files[i].path, path) == 0)
			return true;
	return false;
}

static void remove_new(void *context, const char *name)
{
	const struct flips *f = context;
	char path[128];
	struct storage *storage = storage_faulty_storage(f->life->disk);
	snprintf(path, sizeof(path), "%s/log/%s", f->life->world.dir, name);
	if (!is_saved(f, path))
		(void)storage->ops->remove(storage, path);
}

static void list_log(const struct flips *f, void (*fn)(void *, const char *), void *context)
{
	char path[128];
	struct storage *storage = storage_faulty_storage(f->life->disk);
	snprintf(path, sizeof(path), "%s/log", f->life->world.dir);
	ck_assert(storage->ops->list(storage, path, fn, context));
}

static void put_back(struct flips *f)
{
	list_log(f, remove_new, f);
	for (uint32_t i = 0; i < f->file_count; i++)
		ck_assert(storage_faulty_set(f->life->disk, f->files[i].path, f->files[i].content.data,
			f->files[i].content.len));
	memcpy(f->life->history, f->history, sizeof(f->history));
	f->life->history_count = f->history_count;
	f->life->update_count = f->update_count;
	f->life->model = f->model;
}

/* ---- one flip ---- */

/* Opens; what the host's log says meanwhile goes to `said`. */
static enum wl_err open_listening(struct life *life, struct buf *text, char *said, size_t size)
{
	fflush(stdout);
	int out = dup(1), heard = memfd_create("log", 0);
	ck_assert(out >= 0 && heard >= 0 && dup2(heard, 1) == 1);
	log_set_level(LOG_WARN);
	enum wl_err err = world_open(&life->world, text);
	log_set_level(LOG_OFF);
	ck_assert(dup2(out, 1) == 1);
	ssize_t n = pread(heard, said, size - 1, 0);
	said[n < 0 ? 0 : n] = '\0';
	close(heard);
	close(out);
	return err;
}

static bool names_place(const char *text)
{
	return strstr(text, ".wlog") != NULL && strstr(text, "byte") != NULL;
}

static bool unchanged(const struct flips *f, const struct spot *spot, uint64_t at, uint8_t mask)
{
	bool same = true;
	for (uint32_t i = 0; i < f->file_count && same; i++) {
		struct buf now = BUF_INIT(64 << 20);
		const struct buf *was = &f->files[i].content;
		same = storage_faulty_get(f->life->disk, f->files[i].path, &now) && now.len == was->len;
		if (same && i == spot->file)
			now.data[at] ^= mask;
		same = same && memcmp(now.data, was->data, was->len) == 0;
		buf_deinit(&now);
	}
	return same;
}

static void opened(struct flips *f, const struct spot *spot, bool closed, const char *said)
{
	struct life *life = f->life;
	life->may_lose = spot->is_last && !closed;
	check_opened(life);
	bool all = life->counts.lost == 0;
	if (!all && !names_place(said))
		violate(life, "what is lost is not named: \"%s\"", said);
	f->harmless += all;
	f->lost += !all;
	life->counts.lost = 0;
	storage_faulty_power_off_at(life->disk, 1);
	timers_remove(life->timers, life->world.db);
	world_close(&life->world, false);
	storage_faulty_crash(life->disk);
	put_back(f);
}

static void flip(struct flips *f, enum region region, uint64_t n, bool closed)
{
	static char said[4096];
	struct life *life = f->life;
	struct buf text = BUF_INIT(1 << 16);
	const struct spot *spot = &f->spots[region][hash_u64(n) % f->spot_count[region]];
	uint64_t at = spot->at + hash_u64(n + 1) % spot->len;
	uint8_t mask = (uint8_t)(1 << hash_u64(n + 2) % 8);
	const char *path = f->files[spot->file].path;
	ck_assert(storage_faulty_flip(life->disk, path, at, mask));
	enum wl_err err = open_listening(life, &text, said, sizeof(said));
	if (err == WL_OK) {
		opened(f, spot, closed, said);
	} else {
		f->refused++;
		if (strstr(buf_text(&text), ".wlog") == NULL)
			violate(life, "refused without a name: %s", buf_text(&text));
		if (!unchanged(f, spot, at, mask))
			violate(life, "refused, and something was changed: %s", buf_text(&text));
		ck_assert(storage_faulty_flip(life->disk, path, at, mask));
	}
	if (life->violation[0] != '\0') {
		f->wrong++;
		if (f->wrong < 5)
			printf("%s byte %llu mask %02x of %s: %s: %s: %s\n", path, (unsigned long long)at, mask, names[region],
				wl_err_name(err), life->violation, buf_text(&text));
		life->violation[0] = '\0';
		put_back(f);
	}
	buf_deinit(&text);
}

/* ---- a log to damage ---- */

static void make_log(struct life *life, struct programs *programs, bool closed)
{
	life_begin(life, programs, SEED, SEED);
	life->world.options.segment_bytes = 16384;
	life->reliable = true;
	ck_assert(life_create(life));
	for (int i = 0; i < ACTIONS; i++) {
		life_act(life, programs);
		if (i % 10 == 9)
			step_settle(life);
	}
	ck_assert_msg(life->violation[0] == '\0', "%s", life->violation);
	if (!closed) {
		life_crash(life);
		return;
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (life->world.lines[i].client != NULL)
			step_disconnect(life, &life->world.lines[i]);
	step_settle(life);
	world_close(&life->world, true);
}

static void run(struct flips *f, struct programs *programs, bool closed, uint32_t count)
{
	struct life *life = f->life;
	make_log(life, programs, closed);
	list_log(f, collect, f);
	qsort(f->files, f->file_count, sizeof(f->files[0]), by_path);
	find_spots(f);
	memcpy(f->history, life->history, sizeof(f->history));
	f->history_count = life->history_count;
	f->update_count = life->update_count;
	f->model = life->model;
	life->counts.lost = 0;
	for (int region = 0; region < REGIONS; region++) {
		f->refused = f->harmless = f->lost = f->wrong = 0;
		for (uint32_t n = 0; n < count && f->spot_count[region] > 0; n++)
			flip(f, (enum region)region, (uint64_t)n * 3 + 1000, closed);
		sim_check(f->wrong == 0 && f->spot_count[region] > 0, "bits turned in %s of a log that %s: %llu refused, "
			"%llu harmless, %llu named losses at the end, %llu wrong", names[region],
			closed ? "was closed" : "ended with a crash", (unsigned long long)f->refused,
			(unsigned long long)f->harmless, (unsigned long long)f->lost, (unsigned long long)f->wrong);
	}
	for (uint32_t i = 0; i < f->file_count; i++)
		buf_deinit(&f->files[i].content);
	life_end(life);
}

/* So many in each region, of a log that was closed and of one that was not. */
void flips_run(struct programs *programs, struct life *life, uint32_t count)
{
	static struct flips flips;
	for (int closed = 0; closed < 2; closed++) {
		memset(&flips, 0, sizeof(flips));
		flips.life = life;
		run(&flips, programs, closed == 1, (count + 1) / 2);
	}
}
