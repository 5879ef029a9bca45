/* SPDX-License-Identifier: Apache-2.0 */
/* The host's log: one line, one write, to stdout and to the log file when there is one. */
#include "base/log.h"
#include "base/clock.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096 };

static _Atomic int current_level = LOG_INFO;
static _Atomic int log_fd = -1;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool log_open(const char *path, struct error *error)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0) {
		(void)fail_errno(error, WL_ERR_IO, "cannot open the log file %s", path);
		return false;
	}
	atomic_store(&log_fd, fd);
	return true;
}

static void write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n <= 0)
			return; /* a log that cannot be written is lost; there is nobody to tell */
		data += n;
		len -= (size_t)n;
	}
}

void log_line(enum log_level level, const char *file, int line, const char *format, ...)
{
	static const char *const names[] = { "", "ERROR", " WARN", " INFO", "DEBUG", "TRACE" };
	if ((int)level > atomic_load_explicit(&current_level, memory_order_relaxed))
		return;
	char text[LINE_MAX_BYTES], when[48];
	timestamp_format(clock_wall_micros(), when);
	char *zone = strchr(when, '+');
	if (zone != NULL)
		*zone = '\0';
	int n = snprintf(text, sizeof(text), "%sZ %s %s:%d: ", when, names[level], file, line);
	size_t len = n < 0 ? 0 : size_min((size_t)n, sizeof(text) - 1);
	va_list args;
	va_start(args, format);
	n = vsnprintf(text + len, sizeof(text) - len - 1, format, args);
	va_end(args);
	if (n > 0)
		len = size_min(len + (size_t)n, sizeof(text) - 2);
	text[len++] = '\n';
	write_all(STDOUT_FILENO, text, len);
	int fd = atomic_load(&log_fd);
	if (fd >= 0)
		write_all(fd, text, len);
}
