/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORLDLINE_FUNCTION_H
#define WORLDLINE_FUNCTION_H
/*
 * What a module does when it is called. Each declaration is followed by a body, in which `ctx` says who calls, and the
 * parameters have their names:
 *
 *   WL_REDUCER(rename, (u64, id), (str, name)) { … return wl_ok(); }     or  return wl_fail("no player %llu", id);
 *   WL_INIT() { … }  WL_CONNECTED() { … }  WL_DISCONNECTED() { … }       reducers that the host calls
 *   WL_PROCEDURE(u64, total, (u32, team)) { … return sum; }              outside transactions: WL_TRANSACTION { … }
 *   WL_VIEW(player, leaders, (i32, score)) { … player_emit(&row); }      for everybody; rows of type player
 *   WL_SENDER_VIEW(player, mine) { … ctx->sender … }                     for each sender its own
 *   WL_QUERY_VIEW(player, winners) { return WL_STR("SELECT …"); }        the rows of a query
 *   WL_VIEW_KEY(leaders, id)                                             a column that identifies rows
 *   WL_SCHEDULE(timer, at, tick)     rows of the table `timer` are calls of the reducer or procedure `tick`, whose one
 *                                    parameter is such a row, when its column `at` (schedule_at) says
 *   WL_MIGRATION() { … return wl_ok(); }             when this module takes another's place, in that transaction: reads
 *                                    what changed as WL_OLD_TABLE(T, "name", columns …), writes the tables as they are
 *   WL_RULE("SELECT …")              a row-level rule: only such rows are seen
 *   WL_VARIABLE(KEY)  WL_CHOICE(KEY, "a", "b")       what must be published with it; WL_OPTIONAL_…: what may be
 */
#pragma clang system_header
#include "worldline/table.h"

struct wl_ctx {
	identity sender;          /* who calls; of calls on schedule: the database */
	connection_id connection; /* all zero: none */
	timestamp now;            /* when the call began; in a procedure's transaction: when that did */
};

/* ---- results ---- */

struct wl_status {
	bool failed;
	str text;
};
WL_INLINE struct wl_status wl_ok(void) { struct wl_status ok = { false, { NULL, 0 } }; return ok; }
/* The call is rolled back, and the caller sees the text. */
WL_EXTERN struct wl_status wl_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* %d %i %u %x %c %s %p with l, ll, z, width, 0, and .* of strings; a str: "%.*s", WL_FMT(s); a f64: the same of
 * wl_decimal(value, places). */
WL_EXTERN str wl_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
WL_EXTERN str wl_decimal(f64 value, u32 places); /* up to 9 */
#define WL_FMT(s) (int)(s).len, (s).data

/* ---- log, time, chance, who we are ---- */

enum wl_level { WL_ERROR, WL_WARN, WL_INFO, WL_DEBUG, WL_TRACE };
WL_EXTERN void wl_log(enum wl_level level, const char *file, u32 line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
#define wl_error(...) wl_log(WL_ERROR, __FILE__, __LINE__, __VA_ARGS__)
#define wl_warn(...) wl_log(WL_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define wl_info(...) wl_log(WL_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define wl_debug(...) wl_log(WL_DEBUG, __FILE__, __LINE__, __VA_ARGS__)
#define wl_trace(...) wl_log(WL_TRACE, __FILE__, __LINE__, __VA_ARGS__)

/* How long a block takes, in the log: WL_TIMER("moving") { … } */
WL_EXTERN void wl_timer_end(u32 *timer);
#define WL_TIMER(name) \
	for (u32 wl_timer __attribute__((cleanup(wl_timer_end))) = wl_abi_timer_start(name, sizeof(name) - 1), \
		wl_once = 1; \
		wl_once && (void *)&wl_timer != NULL; wl_once = 0)

/* The same numbers for the same call: seeded with its time. Not for secrets. */
WL_EXTERN u64 wl_random(void);
WL_EXTERN u64 wl_random_below(u64 n); /* 0 to n - 1, all alike; n > 0 */
WL_EXTERN identity wl_database(void);
/* The payload of the token that the connection came with; false: none. */
WL_EXTERN bool wl_jwt(const struct wl_ctx *ctx, str *out);
/* The value that was published for a variable; false: an optional one without. */
WL_EXTERN bool wl_env(const char *key, str *out);

/* ---- procedures ---- */

/* Commits at its end; left by break or return, it is rolled back. Runs once more if the commit fails; then `wl_panic`.
 * Nothing sleeps, and no request is sent, inside. */
struct wl_transaction {
	u32 attempts;
	bool is_open;
};
WL_EXTERN bool wl_transaction_next(struct wl_transaction *tx, const struct wl_ctx *ctx);
WL_EXTERN void wl_transaction_end(struct wl_transaction *tx);
#define WL_TRANSACTION \
	for (struct wl_transaction wl_tx __attribute__((cleanup(wl_transaction_end))) = { 0, false }; \
		wl_transaction_next(&wl_tx, ctx);)
WL_EXTERN timestamp wl_sleep_until(timestamp when); /* what time it then is */
WL_EXTERN timestamp wl_now(void);                   /* in procedures; elsewhere ctx->now */

/* ---- declaring ---- */

enum wl_function_flags { WL_ANONYMOUS = 1, WL_RETURNS_QUERY = 2 };
enum wl_lifecycle { WL_ON_INIT, WL_ON_CONNECT, WL_ON_DISCONNECT };
struct wl_function {
	const char *name;
	const struct wl_element *parameters;
	u32 parameter_count;
	u32 flags;
	const struct wl_type *returns; /* of procedures; of views: of a row */
	i32 (*run)(const struct wl_ctx *ctx, struct wl_reader *wl_r, u32 sink);
};
struct wl_schedule {
	const struct wl_type *table;
	const char *column;
	const struct wl_function *function;
};
struct wl_view_key {
	const struct wl_function *view;
	const char *column;
};
struct wl_variable {
	const char *name;
	bool optional;
	const char *const *choices; /* ended by NULL; NULL: any string */
};
WL_EXTERN void wl_put_item_reducer(struct wl_writer *w, const void *function);
WL_EXTERN void wl_put_item_procedure(struct wl_writer *w, const void *function);
WL_EXTERN void wl_put_item_view(struct wl_writer *w, const void *function);
WL_EXTERN void wl_put_item_view_key(struct wl_writer *w, const void *key);
WL_EXTERN void wl_put_item_schedule(struct wl_writer *w, const void *schedule);
WL_EXTERN void wl_put_item_lifecycle(struct wl_writer *w, const void *lifecycle);
WL_EXTERN void wl_put_item_variable(struct wl_writer *w, const void *variable);
WL_EXTERN void wl_put_item_text(struct wl_writer *w, const void *text);
WL_EXTERN i32 wl_reducer_end(struct wl_status status, u32 sink);
WL_EXTERN void wl_sink_put(u32 sink, const void *data, size_t len);
WL_EXTERN i32 wl_view_end(u32 sink);
WL_EXTERN i32 wl_query_view_end(str query, u32 sink);

#define WL_PARAMETER(c, tuple) WL_PARAMETER_I tuple
#define WL_PARAMETER_I(type, name) , WL_UNUSED type name
#define WL_LOCAL(c, tuple) WL_LOCAL_I tuple
#define WL_LOCAL_I(type, name) \
	type name; \
	WL_PASTE(wl_get_, type)(wl_r, &name);
#define WL_ARGUMENT(c, tuple) WL_ARGUMENT_I tuple
#define WL_ARGUMENT_I(type, name) , name

/* The function itself, what reads its arguments, what is said of it. `end` makes a code of its result. */
#define WL_FUNCTION(section, put, result, name, text, flags, returns, end, ...) \
	static result wl_body_##name(WL_UNUSED const struct wl_ctx *ctx WL_EACH_OF(WL_PARAMETER, , __VA_ARGS__)); \
	static i32 wl_run_##name(const struct wl_ctx *ctx, WL_UNUSED struct wl_reader *wl_r, u32 wl_sink) \
	{ \
		WL_EACH_OF(WL_LOCAL, , __VA_ARGS__) \
		end(wl_body_##name(ctx WL_EACH_OF(WL_ARGUMENT, , __VA_ARGS__)), result) \
	} \
	static const struct wl_element wl_parameters_##name[] = WL_ELEMENTS(__VA_ARGS__); \
	static const struct wl_function wl_function_##name WL_UNUSED = { text, wl_parameters_##name, \
		WL_ELEMENT_COUNT(wl_parameters_##name), flags, returns, wl_run_##name }; \
	WL_ITEM(section, function_##name, text, &wl_function_##name, put) \
	static result wl_body_##name(WL_UNUSED const struct wl_ctx *ctx WL_EACH_OF(WL_PARAMETER, , __VA_ARGS__))

#define WL_END_REDUCER(call, result) return wl_reducer_end(call, wl_sink);
#define WL_END_PROCEDURE(call, result) \
	result wl_value = call; \
	struct wl_writer wl_w = wl_writer(); \
	WL_PASTE(wl_put_, result)(&wl_w, &wl_value); \
	wl_sink_put(wl_sink, wl_w.begin, wl_written(&wl_w)); \
	return 0;
#define WL_END_VIEW(call, result) \
	call; \
	return wl_view_end(wl_sink);
#define WL_END_QUERY_VIEW(call, result) return wl_query_view_end(call, wl_sink);

#define WL_REDUCER(name, ...) \
	WL_FUNCTION(WL_REDUCERS, wl_put_item_reducer, struct wl_status, name, #name, 0, NULL, WL_END_REDUCER, __VA_ARGS__)
#define WL_LIFECYCLE_OF(name, lifecycle) \
	WL_ITEM(WL_LIFECYCLES, lifecycle_##name, #name, (const void *)lifecycle, wl_put_item_lifecycle) \
	WL_FUNCTION(WL_REDUCERS, wl_put_item_reducer, struct wl_status, name, #name, 0, NULL, WL_END_REDUCER)
#define WL_INIT() WL_LIFECYCLE_OF(init, WL_ON_INIT)
#define WL_CONNECTED() WL_LIFECYCLE_OF(client_connected, WL_ON_CONNECT)
#define WL_DISCONNECTED() WL_LIFECYCLE_OF(client_disconnected, WL_ON_DISCONNECT)
WL_EXTERN i32 wl_migrate(struct wl_status (*run)(const struct wl_ctx *ctx), u64 micros, u32 sink);
#define WL_MIGRATION() \
	static struct wl_status wl_migration(const struct wl_ctx *ctx); \
	WL_EXTERN __attribute__((export_name("__migrate__"))) i32 wl_export_migrate(u64 micros, u32 sink); \
	i32 wl_export_migrate(u64 micros, u32 sink) { return wl_migrate(wl_migration, micros, sink); } \
	static struct wl_status wl_migration(WL_UNUSED const struct wl_ctx *ctx)
#define WL_PROCEDURE(result, name, ...) \
	WL_FUNCTION(WL_PROCEDURES, wl_put_item_procedure, result, name, #name, 0, &WL_PASTE(wl_type_, result), \
		WL_END_PROCEDURE, __VA_ARGS__)
#define WL_VIEW(T, name, ...) \
	WL_FUNCTION(WL_VIEWS, wl_put_item_view, void, name, #name, WL_ANONYMOUS, &wl_type_##T, WL_END_VIEW, \
		__VA_ARGS__)
#define WL_SENDER_VIEW(T, name, ...) \
	WL_FUNCTION(WL_VIEWS, wl_put_item_view, void, name, #name, 0, &wl_type_##T, WL_END_VIEW, __VA_ARGS__)
#define WL_QUERY_VIEW(T, name, ...) \
	WL_FUNCTION(WL_VIEWS, wl_put_item_view, str, name, #name, WL_ANONYMOUS | WL_RETURNS_QUERY, &wl_type_##T, \
		WL_END_QUERY_VIEW, __VA_ARGS__)
#define WL_SENDER_QUERY_VIEW(T, name, ...) \
	WL_FUNCTION(WL_VIEWS, wl_put_item_view, str, name, #name, WL_RETURNS_QUERY, &wl_type_##T, \
		WL_END_QUERY_VIEW, __VA_ARGS__)
/* Rows that are in no table: WL_STRUCT, then WL_ROW of it, which makes T_emit. */
#define WL_ROW(T) WL_EMITTER(T)

#define WL_VIEW_KEY(name, column) \
	static const struct wl_view_key wl_view_key_##name = { &wl_function_##name, #column }; \
	WL_ITEM(WL_VIEW_KEYS, view_key_##name, NULL, &wl_view_key_##name, wl_put_item_view_key)
#define WL_SCHEDULE(T, column, name) \
	WL_ASSERT(WL_SAME_TYPE(wl_of_##T##_##column, schedule_at), \
		"WL_SCHEDULE: " #T "." #column " must be a schedule_at"); \
	static const struct wl_schedule wl_schedule_##T = { &wl_type_##T, #column, &wl_function_##name }; \
	WL_ITEM(WL_SCHEDULES, schedule_##T, NULL, &wl_schedule_##T, wl_put_item_schedule)
#ifdef __cplusplus
#define WL_SAME_TYPE(a, b) __is_same(a, b)
#else
#define WL_SAME_TYPE(a, b) __builtin_types_compatible_p(a, b)
#endif
#define WL_RULE(sql) WL_RULE_I(WL_PASTE(rule_, __COUNTER__), sql)
#define WL_RULE_I(name, sql) WL_RULE_II(name, sql)
#define WL_RULE_II(name, sql) WL_ITEM(WL_RULES, name, NULL, "" sql, wl_put_item_text)

#define WL_VARIABLE_DATA(key, optional, choices) \
	static const struct wl_variable wl_variable_##key = { #key, optional, choices }; \
	WL_ITEM(WL_ENVIRONMENT, variable_##key, #key, &wl_variable_##key, wl_put_item_variable)
#define WL_VARIABLE(key) WL_VARIABLE_DATA(key, false, NULL)
#define WL_OPTIONAL_VARIABLE(key) WL_VARIABLE_DATA(key, true, NULL)
#define WL_CHOICE(key, ...) \
	static const char *const wl_choices_##key[] = { __VA_ARGS__, NULL }; \
	WL_VARIABLE_DATA(key, false, wl_choices_##key)
#define WL_OPTIONAL_CHOICE(key, ...) \
	static const char *const wl_choices_##key[] = { __VA_ARGS__, NULL }; \
	WL_VARIABLE_DATA(key, true, wl_choices_##key)
#endif
