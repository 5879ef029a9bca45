/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LOG_H
#define LOG_H
/*
 * log: the host's own log lines, to stdout and (when opened) a file.
 * Any thread; one write(2) a line. Not the modules' log (database/module_log.h).
 */
#include "base/base.h"

enum log_level { LOG_OFF, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };
void log_set_level(enum log_level level); /* default LOG_INFO */
bool log_open(const char *path, struct error *error); /* appends to this file as well */
void log_line(enum log_level level, const char *file, int line, const char *format, ...) PRINTF_LIKE(4, 5);
#define log_error(...) log_line(LOG_ERROR, __FILE__, __LINE__, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __FILE__, __LINE__, __VA_ARGS__)
#endif
