/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THREAD_H
#define THREAD_H
/*
 * thread: threads, locks and the queues between owners.
 */
#include "base/base.h"
#include <pthread.h>
#include <stdatomic.h>

typedef void (*thread_fn)(void *arg);
/* Starts a named thread. `stack_bytes` 0 = 256 KiB, enough for our own code; guests need THREAD_STACK_GUEST. */
enum { THREAD_STACK_GUEST = 8 << 20 };
bool thread_start(pthread_t *thread, const char *name, size_t stack_bytes, thread_fn fn, void *arg) CHECKED;
void thread_join(pthread_t thread);
void thread_set_low_priority(void); /* this thread: background work */
uint32_t thread_cpu_count(void);

/* Mutex + condition in one, for cold paths: waiting for a reply, a worker's queue. */
struct monitor {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
};
void monitor_init(struct monitor *m);
void monitor_deinit(struct monitor *m);
void monitor_lock(struct monitor *m);
void monitor_unlock(struct monitor *m);
void monitor_wait(struct monitor *m);
bool monitor_wait_nanos(struct monitor *m, uint64_t nanos); /* false on time-out */
void monitor_wake_all(struct monitor *m);
void monitor_wake_one(struct monitor *m); /* where any waiter will do */

/*
 * Intrusive MPSC queue: any thread pushes, the one owner takes everything at
 * once, in push order. Push is one exchange-like loop (release); take is one
 * exchange (acquire), so what was written to a node before the push is
 * visible to the owner.
 */
struct mpsc_node {
	struct mpsc_node *next;
};
struct mpsc {
	_Atomic(struct mpsc_node *) head;
};
/* Returns true if the queue was empty before: the pusher must then wake the owner. */
bool mpsc_push(struct mpsc *queue, struct mpsc_node *node);
struct mpsc_node *mpsc_take_all(struct mpsc *queue); /* oldest first, NULL when empty */

/* A pool of threads for blocking work that is off every hot path. Grows to `max`, idle ones end. */
struct worker_pool;
struct worker_pool *worker_pool_create(const char *name, uint32_t max, size_t stack_bytes);
bool worker_pool_run(struct worker_pool *pool, thread_fn fn, void *arg) CHECKED; /* false: no memory */
void worker_pool_destroy(struct worker_pool *pool); /* finishes what is queued, then joins */
#endif
