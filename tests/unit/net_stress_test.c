/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many connections, several loops, lends that are lost and kept, answers from
 * other threads, all at once. Meant for the thread sanitizer as much as for
 * its own assertions.
 */
#include "net_fixture.h"

#include <poll.h>
#include <sys/resource.h>

static struct app app;

/* Goal: thousands of connections cost little memory each, all are served, all are gone at the end. */
START_TEST(many_connections)
{
	enum { COUNT = 1500 };
	static int fds[COUNT];
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	ck_assert_uint_ge(limit.rlim_cur, 2 * COUNT + 100);
	app_start(&app, 2, ws_usual);
	static const char head[] = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc\r\n\r\n";
	uint64_t before = mem_stats().live_bytes;
	for (int i = 0; i < COUNT; i++) {
		fds[i] = dial(&app);
		put_all(fds[i], head, sizeof(head) - 1);
	}
	for (int i = 0; i < COUNT; i++) {
		uint8_t piece[512];
		ck_assert_int_gt(recv(fds[i], piece, sizeof(piece), 0), 0);
	}
	nap(1200); /* pools are trimmed on the tick */
	uint64_t each = (mem_stats().live_bytes - before) / COUNT;
	printf("an idle WebSocket connection: %llu bytes\n", (unsigned long long)each);
	ck_assert_uint_le(each, 1024);
	ck_assert_uint_eq(net_stats(app.net).connections, COUNT);
	uint32_t most = 0, least = COUNT;
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t here = (uint32_t)atomic_load(&net_loop_at(app.net, i)->connections);
		most = here > most ? here : most;
		least = here < least ? here : least;
	}
	ck_assert_uint_le(most - least, 1); /* in turn */
	for (int i = 0; i < COUNT; i++)
		put_all(fds[i], "\x82\x83\0\0\0\0Ehi", 9);
	for (int i = 0; i < COUNT; i++) {
		uint8_t piece[64];
		ssize_t n = recv(fds[i], piece, sizeof(piece), 0);
		while (n > 0 && n < 5) /* the ping may have come alone */
			n = recv(fds[i], piece, sizeof(piece), 0);
		ck_assert_int_ge(n, 5);
	}
	for (int i = 0; i < COUNT; i++)
		close(fds[i]);
	for (int i = 0; i < 500 && atomic_load(&app.closed) < COUNT; i++)
		nap(10);
	ck_assert_uint_eq(atomic_load(&app.closed), COUNT);
	ck_assert_uint_eq(atomic_load(&app.net->memory), 0);
	app_stop(&app);
}
END_TEST

struct talker {
	pthread_t thread;
	uint32_t seed;
	_Atomic bool *stop;
	uint64_t echoes, http;
};

static void talker_http(struct talker *talker)
{
	static const char *const requests[] = { "GET /later HTTP/1.1\r\nConnection: close\r\n\r\n",
		"GET /stream HTTP/1.0\r\n\r\n", "GET /x HTTP/1.1\r\n\r\nGET /y HTTP/1.1\r\nConnection: close\r\n\r\n" };
	int fd = dial(&app);
	put_text(fd, requests[talker->seed % 3]);
	if (talker->seed % 7 != 0) {
		uint8_t piece[4096];
		while (recv(fd, piece, sizeof(piece), 0) > 0) {
		}
		talker->http++;
	}
	close(fd);
}

static void talker_ws(struct talker *talker)
{
	struct ws_client *client = ws_dial(&app, "/ws?follow");
	char text[32], expected[32];
	for (uint32_t i = 0; i < 200; i++) {
		talker->seed = talker->seed * 1664525 + 1013904223;
		uint32_t choice = talker->seed >> 24;
		if (choice < 3)
			ws_say(client, "L6");
		else if (choice < 20)
			ws_say(client, "L1");
		else if (choice < 40)
			ws_say(client, "Aall");
		else if (choice < 50)
			ws_say(client, choice % 2 != 0 ? "F" : "U");
		snprintf(text, sizeof(text), "E%u", talker->seed);
		snprintf(expected, sizeof(expected), "%u", talker->seed);
		ws_say(client, text);
		char got[256];
		const char *heard;
		do
			heard = ws_hear(client, got);
		while (heard != NULL && (strcmp(heard, "lent") == 0 || strcmp(heard, "all") == 0));
		ck_assert_msg(heard != NULL && strcmp(heard, expected) == 0, "%s instead of %s", heard, expected);
		talker->echoes++;
	}
	if (talker->seed % 2 == 0)
		ws_client_close(client, 1000, "", NULL);
	ws_client_destroy(client);
}

static void talker_main(void *arg)
{
	struct talker *talker = arg;
	while (!atomic_load(talker->stop)) {
		if (talker->seed % 3 == 0)
			talker_http(talker);
		else
			talker_ws(talker);
		talker->seed = talker->seed * 22695477 + 1;
	}
}

/* Goal: with lends of 1 ms (kept) and 6 ms (lost) on all loops, every message is answered once and in order. */
START_TEST(lend_storm)
{
	enum { TALKERS = 12 };
	struct talker talkers[TALKERS];
	_Atomic bool stop = false;
	app_start(&app, 3, ws_usual);
	nap(20); /* every loop has had a round: its ring is there */
	for (uint32_t i = 0; i < 3; i++) {
		int fd = dial(&app);
		struct buf out = BUF_INIT(1000);
		put_text(fd, "GET / HTTP/1.0\r\n\r\n");
		get_all(fd, &out, 1000);
		buf_deinit(&out);
		close(fd);
	}
	for (uint32_t i = 0; i < TALKERS; i++) {
		talkers[i] = (struct talker){ .seed = i * 2654435761u + 1, .stop = &stop };
		ck_assert(thread_start(&talkers[i].thread, "talker", 0, talker_main, &talkers[i]));
	}
	nap(2500);
	atomic_store(&stop, true);
	uint64_t echoes = 0, http = 0;
	for (uint32_t i = 0; i < TALKERS; i++) {
		thread_join(talkers[i].thread);
		echoes += talkers[i].echoes;
		http += talkers[i].http;
	}
	printf("%llu echoes, %llu http, %u lends kept, %u lost, %u threads\n", (unsigned long long)echoes,
		(unsigned long long)http, atomic_load(&app.lends_kept), atomic_load(&app.lends_lost), app.net->runner_count);
	ck_assert_uint_gt(atomic_load(&app.lends_lost), 0);
	ck_assert_uint_gt(atomic_load(&app.lends_kept), 0);
	ck_assert_uint_gt(http, 0);
	app_stop(&app);
}
END_TEST

struct posted {
	struct net_task task;
	_Atomic uint32_t *ran;
};

static void posted_run(struct net_loop *loop, struct net_task *task)
{
	struct posted *posted = (struct posted *)task;
	(void)loop;
	atomic_fetch_add(posted->ran, 1);
	mem_free(posted);
}

static void poster_main(void *arg)
{
	static _Atomic uint32_t turn;
	_Atomic uint32_t *ran = arg;
	for (int i = 0; i < 20000; i++) {
		struct posted *posted = mem_or_abort(mem_alloc(sizeof(*posted)));
		*posted = (struct posted){ .task.fn = posted_run, .ran = ran };
		net_loop_post(net_loop_at(app.net, atomic_fetch_add(&turn, 1) % 2), &posted->task);
		if (i % 64 == 0)
			nap(0); /* let the loops fall asleep now and then */
	}
}

/* Goal: no posted task is lost, whatever the loop does at that moment: none waits longer than a wake takes. */
START_TEST(posts_wake)
{
	enum { POSTERS = 4 };
	pthread_t threads[POSTERS];
	_Atomic uint32_t ran = 0;
	app_start(&app, 2, ws_usual);
	for (int i = 0; i < POSTERS; i++)
		ck_assert(thread_start(&threads[i], "poster", 0, poster_main, &ran));
	for (int i = 0; i < POSTERS; i++)
		thread_join(threads[i]);
	for (int i = 0; i < 100 && atomic_load(&ran) < POSTERS * 20000; i++)
		nap(1);
	ck_assert_uint_eq(atomic_load(&ran), POSTERS * 20000);
	app_stop(&app);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("net_stress");
	TCase *group = tcase_create("stress");
	tcase_set_timeout(group, 60);
	tcase_add_test(group, many_connections);
	tcase_add_test(group, lend_storm);
	tcase_add_test(group, posts_wake);
	suite_add_tcase(suite, group);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
