/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: control data is all or nothing at every crash, and what was promised is there afterwards. Method: a simulated
 * disk that loses, tears and reorders what was not synced; a model of names and owners; power off at every call in
 * turn. */
#include "base/mem.h"
#include "commitlog/storage_faulty.h"
#include "host/host_internal.h"
#include "unit/run_suite.h"

#include <errno.h>
#include <stdio.h>

#define PATH "/data/control.log"

static struct error error;

static struct identity id_of(uint32_t n)
{
	struct identity id = { { 0 } };
	store_u32(id.le, n);
	id.le[31] = 0xc2;
	return id;
}

static struct control *open_control(struct storage *storage)
{
	struct control *control = NULL;
	error = (struct error){ 0 };
	storage->ops->make_dirs(storage, "/data");
	ck_assert_msg(control_open(storage, PATH, &control, &error) == WL_OK, "%s", error.text);
	return control;
}

/* Step n of a fixed history: a database with a name, then a rename, a lock, a drop ... */
static enum wl_err step(struct control *control, uint32_t n)
{
	struct buf change = BUF_INIT(1 << 16), ignored = BUF_INIT(256);
	struct identity id = id_of(n / 4), owner = id_of(1000 + n / 4);
	char text[2][32];
	snprintf(text[0], sizeof(text[0]), "name-%u", n / 4);
	snprintf(text[1], sizeof(text[1]), "other-%u", n / 4);
	struct str names[2] = { str_of(text[0]), str_of(text[1]) };
	enum wl_err err = WL_OK;
	struct control_database record = { .identity = id, .owner = owner, .id = n + 1, .replica = n + 1, .kind = 1 };
	switch (n % 4) {
	case 0:
		control_put_domain(&change, names[0], &owner);
		control_put_names(&change, &id, names, 1);
		control_put_database(&change, &record);
		break;
	case 1:
		control_put_names(&change, &id, names, 2);
		break;
	case 2:
		control_put_lock(&change, &id, true);
		control_put_energy(&change, &id, -5 - (i128)n);
		break;
	default:
		if (n / 4 % 2 == 0)
			control_put_drop(&change, &id);
		else
			control_put_names(&change, &id, &names[1], 1);
		break;
	}
	err = control_commit(control, &change, &error);
	buf_deinit(&change);
	buf_deinit(&ignored);
	return err;
}

/* Is memory what the first `steps` steps make? */
static bool holds(const struct control *control, uint32_t steps)
{
	for (uint32_t d = 0; d <= steps / 4; d++) {
		uint32_t done = steps > 4 * d ? steps - 4 * d : 0;
		done = done > 4 ? 4 : done;
		struct identity id = id_of(d), owner = id_of(1000 + d);
		char text[2][32];
		snprintf(text[0], sizeof(text[0]), "name-%u", d);
		snprintf(text[1], sizeof(text[1]), "other-%u", d);
		const struct control_database *database = control_database(control, &id);
		const struct control_name *name = control_name(control, str_of(text[0]));
		const struct control_name *other = control_name(control, str_of(text[1]));
		bool dropped = done == 4 && d % 2 == 0, renamed = done == 4 && d % 2 == 1;
		bool exists = database != NULL && database->exists;
		if (exists != (done > 0 && !dropped))
			return false;
		if (done == 0)
			continue;
		if (name == NULL || name->bound == renamed || !name->owned || !identity_eq(&name->owner, &owner))
			return false;
		if (done >= 2 && (other == NULL || !other->bound || !identity_eq(&other->database, &id)))
			return false;
		if (database->name_count != (renamed ? 1 : done >= 2 ? 2 : 1) || database->locked != (done >= 3))
			return false;
		if (done >= 3 && database->energy != -5 - (i128)(4 * d + 2))
			return false;
		if (exists && (database->kind != 1 || database->replica != 4 * d + 1 || !identity_eq(&database->owner, &owner)))
			return false;
	}
	return true;
}

START_TEST(everything_is_there_after_reopening)
{
	struct storage_faulty *disk = storage_faulty_create(1);
	struct storage *storage = storage_faulty_storage(disk);
	struct control *control = open_control(storage);
	for (uint32_t n = 0; n < 400; n++) {
		ck_assert_int_eq(step(control, n), WL_OK);
		ck_assert(holds(control, n + 1));
	}
	uint64_t next = control_next_id(control);
	control_close(control);
	control = open_control(storage);
	ck_assert(holds(control, 400));
	ck_assert_uint_ge(control_next_id(control), next - 3); /* beyond every id in use */
	control_close(control);
	storage_faulty_destroy(disk);
}
END_TEST

START_TEST(a_crash_leaves_a_prefix_that_has_all_promises)
{
	for (uint64_t seed = 0; seed < 40; seed++) {
		for (uint64_t at = 1; at < 60; at++) {
			struct storage_faulty *disk = storage_faulty_create(seed * 1000 + at);
			struct storage *storage = storage_faulty_storage(disk);
			struct control *control = open_control(storage);
			uint32_t promised = 0;
			storage_faulty_power_off_at(disk, at);
			while (promised < 24 && step(control, promised) == WL_OK)
				promised++;
			control_close(control);
			storage_faulty_crash(disk);
			control = open_control(storage);
			ck_assert_msg(holds(control, promised) || holds(control, promised + 1), "seed %llu, call %llu, %u promised",
				(unsigned long long)seed, (unsigned long long)at, promised);
			ck_assert_int_eq(step(control, 40), WL_OK); /* and it goes on */
			control_close(control);
			control = open_control(storage);
			control_close(control);
			storage_faulty_destroy(disk);
			if (promised == 24)
				break;
		}
	}
}
END_TEST

START_TEST(a_disk_that_lies_about_syncs_is_noticed_by_this_test)
{
	bool lost = false;
	for (uint64_t seed = 0; seed < 20 && !lost; seed++) {
		struct storage_faulty *disk = storage_faulty_create(seed);
		struct storage *storage = storage_faulty_storage(disk);
		storage_faulty_sync_is_lie(disk, true);
		struct control *control = open_control(storage);
		for (uint32_t n = 0; n < 24; n++)
			ck_assert_int_eq(step(control, n), WL_OK);
		control_close(control);
		storage_faulty_crash(disk);
		lost = control_open(storage, PATH, &control, &error) != WL_OK;
		if (!lost) {
			lost = !holds(control, 24);
			control_close(control);
		}
		storage_faulty_destroy(disk);
	}
	ck_assert(lost);
}
END_TEST

START_TEST(a_failed_sync_is_final)
{
	struct storage_faulty *disk = storage_faulty_create(3);
	struct storage *storage = storage_faulty_storage(disk);
	struct control *control = open_control(storage);
	ck_assert_int_eq(step(control, 0), WL_OK);
	storage_faulty_fail_at(disk, STORAGE_FAULTY_SYNC, 1, EIO);
	ck_assert_int_eq(step(control, 1), WL_ERR_IO);
	ck_assert(holds(control, 1));
	ck_assert_int_eq(step(control, 1), WL_ERR_IO);
	control_close(control);
	storage_faulty_destroy(disk);
}
END_TEST

START_TEST(a_full_disk_refuses_and_recovers)
{
	struct storage_faulty *disk = storage_faulty_create(4);
	struct storage *storage = storage_faulty_storage(disk);
	struct control *control = open_control(storage);
	ck_assert_int_eq(step(control, 0), WL_OK);
	storage_faulty_fail_at(disk, STORAGE_FAULTY_WRITE, 1, ENOSPC);
	ck_assert_int_eq(step(control, 1), WL_ERR_IO);
	ck_assert(holds(control, 1));
	ck_assert_int_eq(step(control, 1), WL_OK);
	control_close(control);
	control = open_control(storage);
	ck_assert(holds(control, 2));
	control_close(control);
	storage_faulty_destroy(disk);
}
END_TEST

START_TEST(damage_in_the_middle_is_named_and_a_torn_tail_is_cut)
{
	struct storage_faulty *disk = storage_faulty_create(5);
	struct storage *storage = storage_faulty_storage(disk);
	struct control *control = open_control(storage);
	struct buf file = BUF_INIT(1 << 20);
	for (uint32_t n = 0; n < 8; n++)
		ck_assert_int_eq(step(control, n), WL_OK);
	control_close(control);
	ck_assert(storage_faulty_get(disk, PATH, &file));
	for (size_t at = 0; at < file.len; at += 7) {
		ck_assert(storage_faulty_set(disk, PATH, file.data, file.len));
		ck_assert(storage_faulty_flip(disk, PATH, at, 0x10));
		enum wl_err err = control_open(storage, PATH, &control, &error);
		if (err == WL_OK) { /* the last record only */
			ck_assert(holds(control, 7));
			control_close(control);
		} else {
			ck_assert_int_eq(err, WL_ERR_CORRUPT);
			ck_assert_ptr_nonnull(strstr(error.text, PATH " is damaged at byte "));
		}
	}
	for (size_t len = 0; len < file.len; len++) {
		ck_assert(storage_faulty_set(disk, PATH, file.data, len));
		control = open_control(storage);
		bool prefix = false;
		for (uint32_t n = 0; n < 8 && !prefix; n++)
			prefix = holds(control, n);
		ck_assert(prefix);
		control_close(control);
	}
	buf_deinit(&file);
	storage_faulty_destroy(disk);
}
END_TEST

START_TEST(history_is_compacted)
{
	struct storage_faulty *disk = storage_faulty_create(6);
	struct storage *storage = storage_faulty_storage(disk);
	struct control *control = open_control(storage);
	struct buf change = BUF_INIT(1 << 16), file = BUF_INIT(64 << 20);
	struct identity id = id_of(7);
	ck_assert_int_eq(step(control, 0), WL_OK);
	for (uint32_t n = 0; n < 40000; n++) {
		buf_clear(&change);
		control_put_energy(&change, &id, n);
		ck_assert_int_eq(control_commit(control, &change, &error), WL_OK);
	}
	ck_assert(storage_faulty_get(disk, PATH, &file));
	ck_assert_uint_lt(file.len, 2 << 20);
	control_close(control);
	control = open_control(storage);
	ck_assert(control_database(control, &id)->energy == 39999);
	ck_assert(holds(control, 1));
	control_close(control);
	buf_deinit(&change);
	buf_deinit(&file);
	storage_faulty_destroy(disk);
}
END_TEST

START_TEST(names_belong_to_their_first_user)
{
	struct storage_faulty *disk = storage_faulty_create(8);
	struct control *control = open_control(storage_faulty_storage(disk));
	struct identity one = id_of(1), two = id_of(2), alice = id_of(11), bob = id_of(12);
	struct buf which = BUF_INIT(1024);
	ck_assert_int_eq(names_add(control, STR("a"), &one, &alice, &error), HOST_NAME_OK);
	ck_assert_int_eq(names_add(control, STR("a"), &two, &alice, &error), HOST_NAME_TAKEN);
	ck_assert_int_eq(names_add(control, STR("a"), &two, &bob, &error), HOST_NAME_DENIED);
	ck_assert_int_eq(names_add(control, STR("b"), &one, &bob, &error), HOST_NAME_OK); /* a stranger's alias ... */
	struct str fresh[] = { STR("c"), STR("c") };
	ck_assert_int_eq(names_replace(control, &one, fresh, 2, &alice, &which, &error), HOST_NAME_DENIED); /* ... blocks */
	ck_assert(str_eq(buf_str(&which), STR("b")));
	ck_assert_int_eq(names_replace(control, &two, fresh, 2, &alice, &which, &error), HOST_NAME_OK);
	ck_assert_uint_eq(control_database(control, &two)->name_count, 2); /* a list may repeat itself */
	struct str again[] = { STR("c") };
	ck_assert_int_eq(names_replace(control, &two, again, 1, &alice, &which, &error), HOST_NAME_TAKEN);
	ck_assert_int_eq(names_replace(control, &two, NULL, 0, &alice, &which, &error), HOST_NAME_OK);
	ck_assert(!control_name(control, STR("c"))->bound);
	ck_assert_int_eq(names_add(control, STR("c"), &one, &bob, &error), HOST_NAME_DENIED); /* released is not free */
	ck_assert_int_eq(names_add(control, STR("c"), &one, &alice, &error), HOST_NAME_OK);
	buf_deinit(&which);
	control_close(control);
	storage_faulty_destroy(disk);
}
END_TEST

START_TEST(no_memory_is_an_error_and_nothing_leaks_into_the_file)
{
	for (uint64_t n = 1; n < 30; n++) {
		struct storage_faulty *disk = storage_faulty_create(n);
		struct storage *storage = storage_faulty_storage(disk);
		struct control *control = open_control(storage);
		ck_assert_int_eq(step(control, 0), WL_OK);
		mem_fail_at(n, true);
		enum wl_err err = step(control, 1);
		mem_fail_at(0, false);
		control_close(control);
		control = open_control(storage);
		ck_assert(holds(control, 2) || (err != WL_OK && holds(control, 1)));
		control_close(control);
		storage_faulty_destroy(disk);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("host_control");
	TCase *tcase = tcase_create("host_control");
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, everything_is_there_after_reopening);
	tcase_add_test(tcase, a_crash_leaves_a_prefix_that_has_all_promises);
	tcase_add_test(tcase, a_disk_that_lies_about_syncs_is_noticed_by_this_test);
	tcase_add_test(tcase, a_failed_sync_is_final);
	tcase_add_test(tcase, a_full_disk_refuses_and_recovers);
	tcase_add_test(tcase, damage_in_the_middle_is_named_and_a_torn_tail_is_cut);
	tcase_add_test(tcase, history_is_compacted);
	tcase_add_test(tcase, names_belong_to_their_first_user);
	tcase_add_test(tcase, no_memory_is_an_error_and_nothing_leaks_into_the_file);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
