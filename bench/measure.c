/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measuring another process from outside, through its CPU clock, its status
 * file and the kernel's counters.
 */
#include "measure.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint64_t clock_nanos(clockid_t clock)
{
	struct timespec t;
	if (clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- system calls ---- */

static bool tracepoint_id(uint64_t *id)
{
	static const char *const roots[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	for (size_t i = 0; i < ARRAY_COUNT(roots); i++) {
		char path[128], text[32];
		snprintf(path, sizeof(path), "%s/events/raw_syscalls/sys_enter/id", roots[i]);
		FILE *file = fopen(path, "r");
		if (file == NULL)
			continue;
		bool read = fgets(text, sizeof(text), file) != NULL;
		fclose(file);
		if (read) {
			*id = strtoull(text, NULL, 10);
			return true;
		}
	}
	return false;
}

static bool count_task(struct meter *meter, pid_t task, uint64_t id)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .config = id, .inherit = 1 };
	if (meter->counter_count == METER_TASKS_MAX)
		return false;
	long fd = syscall(SYS_perf_event_open, &attr, task, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return false;
	meter->counters[meter->counter_count++] = (int)fd;
	return true;
}

static bool count_syscalls(struct meter *meter)
{
	uint64_t id;
	if (!tracepoint_id(&id)) {
		fprintf(stderr, "load: no tracepoint to count system calls with: mount -t tracefs nodev /sys/kernel/tracing\n");
		return false;
	}
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", (int)meter->pid);
	DIR *tasks = opendir(path);
	bool ok = tasks != NULL;
	for (struct dirent *entry; ok && (entry = readdir(tasks)) != NULL;)
		if (entry->d_name[0] != '.')
			ok = count_task(meter, (pid_t)strtol(entry->d_name, NULL, 10), id);
	if (tasks != NULL)
		closedir(tasks);
	if (!ok)
		perror("load: counting system calls");
	return ok;
}

bool meter_open(struct meter *meter, pid_t pid, bool syscalls)
{
	*meter = (struct meter){ .pid = pid };
	if (pid == 0)
		return true;
	if (clock_getcpuclockid(pid, &meter->clock) != 0) {
		fprintf(stderr, "load: no process %d\n", (int)pid);
		return false;
	}
	return !syscalls || count_syscalls(meter);
}

void meter_close(struct meter *meter)
{
	for (uint32_t i = 0; i < meter->counter_count; i++)
		close(meter->counters[i]);
	meter->counter_count = 0;
}

void meter_take(const struct meter *meter, struct sample *out)
{
	*out = (struct sample){ .wall_nanos = clock_nanos(CLOCK_MONOTONIC),
		.own_cpu_nanos = clock_nanos(CLOCK_PROCESS_CPUTIME_ID) };
	if (meter->pid == 0)
		return;
	out->cpu_nanos = clock_nanos(meter->clock);
	out->rss_bytes = process_memory(meter->pid, "VmRSS");
	for (uint32_t i = 0; i < meter->counter_count; i++) {
		uint64_t count;
		if (read(meter->counters[i], &count, sizeof(count)) == sizeof(count))
			out->syscalls += count;
	}
}

uint64_t process_memory(pid_t pid, const char *field)
{
	char path[64], line[256];
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		return 0;
	uint64_t bytes = 0;
	size_t len = strlen(field);
	while (bytes == 0 && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, field, len) == 0 && line[len] == ':')
			bytes = strtoull(line + len + 1, NULL, 10) * 1024;
	fclose(file);
	return bytes;
}

uint64_t histogram_percentile(const struct histogram *h, double share)
{
	uint64_t want = (uint64_t)((double)h->total * share), seen = 0;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->counts[i];
		if (seen <= want || h->counts[i] == 0)
			continue;
		if (i < HISTOGRAM_STEPS)
			return i;
		uint32_t shift = (i >> 6) - 1;
		uint64_t low = (uint64_t)(HISTOGRAM_STEPS + (i & (HISTOGRAM_STEPS - 1))) << shift;
		return size_min(low + ((uint64_t)1 << shift) / 2, h->max);
	}
	return h->max;
}
