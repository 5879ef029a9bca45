/* SPDX-License-Identifier: Apache-2.0 */
/* Threads, monitors, the MPSC queue and the pool of blocking workers. */
#include "base/thread.h"
#include "base/mem.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct thread_start {
	thread_fn fn;
	void *arg;
	char name[16];
};

static void *thread_entry(void *raw)
{
	struct thread_start start = *(struct thread_start *)raw;
	mem_free(raw);
	pthread_setname_np(pthread_self(), start.name);
	start.fn(start.arg);
	return NULL;
}

bool thread_start(pthread_t *thread, const char *name, size_t stack_bytes, thread_fn fn, void *arg)
{
	struct thread_start *start = mem_alloc(sizeof(*start));
	if (start == NULL)
		return false;
	*start = (struct thread_start){ .fn = fn, .arg = arg };
	snprintf(start->name, sizeof(start->name), "%s", name);
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack_bytes != 0 ? stack_bytes : 256 << 10);
	int rc = pthread_create(thread, &attr, thread_entry, start);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		mem_free(start);
	return rc == 0;
}

void thread_join(pthread_t thread)
{
	pthread_join(thread, NULL);
}

void thread_set_low_priority(void)
{
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
}

uint32_t thread_cpu_count(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	int n = CPU_COUNT(&set);
	return n < 1 ? 1 : (uint32_t)n;
}

void monitor_init(struct monitor *m)
{
	pthread_mutex_init(&m->mutex, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->cond, &attr);
	pthread_condattr_destroy(&attr);
}

void monitor_deinit(struct monitor *m)
{
	pthread_cond_destroy(&m->cond);
	pthread_mutex_destroy(&m->mutex);
}

void monitor_lock(struct monitor *m)
{
	pthread_mutex_lock(&m->mutex);
}

void monitor_unlock(struct monitor *m)
{
	pthread_mutex_unlock(&m->mutex);
}

void monitor_wait(struct monitor *m)
{
	pthread_cond_wait(&m->cond, &m->mutex);
}

bool monitor_wait_nanos(struct monitor *m, uint64_t nanos)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	uint64_t total = (uint64_t)until.tv_nsec + nanos % 1000000000u;
	until.tv_sec += (time_t)(nanos / 1000000000u + total / 1000000000u);
	until.tv_nsec = (long)(total % 1000000000u);
	return pthread_cond_timedwait(&m->cond, &m->mutex, &until) != ETIMEDOUT;
}

void monitor_wake_all(struct monitor *m)
{
	pthread_cond_broadcast(&m->cond);
}

void monitor_wake_one(struct monitor *m)
{
	pthread_cond_signal(&m->cond);
}

bool mpsc_push(struct mpsc *queue, struct mpsc_node *node)
{
	struct mpsc_node *head = atomic_load_explicit(&queue->head, memory_order_relaxed);
	do {
		node->next = head;
	} while (!atomic_compare_exchange_weak_explicit(&queue->head, &head, node,
		memory_order_acq_rel, memory_order_relaxed));
	return head == NULL;
}

struct mpsc_node *mpsc_take_all(struct mpsc *queue)
{
	struct mpsc_node *newest = atomic_exchange_explicit(&queue->head, NULL, memory_order_acq_rel);
	struct mpsc_node *oldest = NULL;
	while (newest != NULL) {
		struct mpsc_node *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	return oldest;
}

struct worker_job {
	struct worker_job *next;
	thread_fn fn;
	void *arg;
};

struct worker_pool {
	struct monitor monitor;
	struct worker_job *first, **last;
	uint32_t threads, idle, queued, max;
	size_t stack_bytes;
	bool closing;
	char name[16];
};

enum { WORKER_IDLE_SECONDS = 10 };

struct worker_pool *worker_pool_create(const char *name, uint32_t max, size_t stack_bytes)
{
	struct worker_pool *pool = mem_zalloc(sizeof(*pool));
	if (pool == NULL)
		return NULL;
	monitor_init(&pool->monitor);
	pool->last = &pool->first;
	pool->max = max;
	pool->stack_bytes = stack_bytes;
	snprintf(pool->name, sizeof(pool->name), "%s", name);
	return pool;
}

static struct worker_job *worker_next(struct worker_pool *pool)
{
	while (pool->first == NULL) {
		if (pool->closing)
			return NULL;
		pool->idle++;
		bool woken = monitor_wait_nanos(&pool->monitor, (uint64_t)WORKER_IDLE_SECONDS * 1000000000u);
		pool->idle--;
		if (!woken && pool->first == NULL)
			return NULL;
	}
	struct worker_job *job = pool->first;
	pool->first = job->next;
	if (pool->first == NULL)
		pool->last = &pool->first;
	pool->queued--;
	return job;
}

static void worker_main(void *arg)
{
	struct worker_pool *pool = arg;
	pthread_detach(pthread_self());
	monitor_lock(&pool->monitor);
	struct worker_job *job;
	while ((job = worker_next(pool)) != NULL) {
		monitor_unlock(&pool->monitor);
		job->fn(job->arg);
		mem_free(job);
		monitor_lock(&pool->monitor);
	}
	pool->threads--;
	monitor_wake_all(&pool->monitor);
	monitor_unlock(&pool->monitor);
}

bool worker_pool_run(struct worker_pool *pool, thread_fn fn, void *arg)
{
	struct worker_job *job = mem_alloc(sizeof(*job));
	if (job == NULL)
		return false;
	*job = (struct worker_job){ .fn = fn, .arg = arg };
	monitor_lock(&pool->monitor);
	*pool->last = job;
	pool->last = &job->next;
	pool->queued++;
	if (pool->queued > pool->idle && pool->threads < pool->max) {
		pthread_t thread;
		if (thread_start(&thread, pool->name, pool->stack_bytes, worker_main, pool))
			pool->threads++;
	}
	bool served = pool->threads > 0;
	if (!served) { /* nobody will ever take it: hand it back */
		pool->first = NULL;
		pool->last = &pool->first;
		pool->queued = 0;
		mem_free(job);
	}
	monitor_wake_all(&pool->monitor);
	monitor_unlock(&pool->monitor);
	return served;
}

void worker_pool_destroy(struct worker_pool *pool)
{
	if (pool == NULL)
		return;
	monitor_lock(&pool->monitor);
	pool->closing = true;
	monitor_wake_all(&pool->monitor);
	while (pool->threads > 0)
		monitor_wait(&pool->monitor);
	monitor_unlock(&pool->monitor);
	monitor_deinit(&pool->monitor);
	mem_free(pool);
}
