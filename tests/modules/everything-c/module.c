/* SPDX-License-Identifier: Apache-2.0 */
/* The module that uses everything (tests/modules/README.md), in C. */
#include <worldline/http.h>
#include <worldline/module.h>

/* ---- types ---- */

WL_ENUM(Color, Red, Green, Blue)
WL_STRUCT(Point, (i32, x), (i32, y))
WL_UNION(Shape, (unit, Empty), (f64, Circle), (str, Label), (Point, Place))
WL_STRUCT(TeamSize, (u32, team), (u32, members))
WL_ROW(TeamSize)

WL_ARRAY(list, i32)
WL_ARRAY(strings, str)
WL_ARRAY(points, Point)
WL_OPTION(maybe_str, str)
WL_RESULT(outcome, u32, str)
WL_OPTION(maybe_connection, connection_id)

/* ---- tables ---- */

WL_TABLE(all_types, PUBLIC,
	(u32, id, PRIMARY_KEY),
	(bool, t_bool),
	(u8, t_u8), (u16, t_u16), (u32, t_u32), (u64, t_u64), (u128, t_u128), (u256, t_u256),
	(i8, t_i8), (i16, t_i16), (i32, t_i32), (i64, t_i64), (i128, t_i128), (i256, t_i256),
	(f32, t_f32), (f64, t_f64),
	(str, t_string), (bytes, t_bytes),
	(identity, t_identity), (connection_id, t_connection), (timestamp, t_timestamp), (duration, t_duration),
	(schedule_at, t_schedule), (uuid, t_uuid),
	(Color, t_color), (Shape, t_shape), (Point, t_point),
	(list, t_list), (strings, t_strings), (points, t_points), (maybe_str, t_option), (outcome, t_result))

WL_TABLE(player, PUBLIC,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(str, name, UNIQUE),
	(u16, slot, UNIQUE_DIRECT),
	(u32, team, INDEX),
	(u8, rank),
	(Color, color, INDEX_HASH))
WL_INDEX(player, by_team_rank, team, rank, name)

WL_TABLE(found, PUBLIC,
	(u32, position, PRIMARY_KEY),
	(u64, id))

WL_TABLE(defaults, PUBLIC,
	(u32, id, PRIMARY_KEY),
	(str, text),
	(i32, score, DEFAULT(7)),
	(Color, color, DEFAULT(Color_Green)),
	(bool, flag, DEFAULT(true)))

WL_TABLE(small, PUBLIC,
	(i8, id, PRIMARY_KEY, AUTO_INC))

WL_TABLE(alert, PUBLIC_EVENT,
	(str, text),
	(u8, level))

WL_TABLE(secret, PRIVATE,
	(u32, id, PRIMARY_KEY),
	(identity, who, INDEX),
	(str, word))

WL_TABLE(note, PUBLIC,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(identity, author, INDEX),
	(str, text))
WL_RULE("SELECT * FROM note WHERE author = :sender")

WL_TABLE(journal, PUBLIC,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(str, text))

WL_TABLE(online, PUBLIC,
	(connection_id, connection, PRIMARY_KEY),
	(identity, who))

WL_TABLE(caller, PUBLIC,
	(u64, id, PRIMARY_KEY, AUTO_INC),
	(identity, sender),
	(maybe_connection, connection),
	(timestamp, time),
	(identity, database),
	(str, token))

WL_TABLE(tick, PUBLIC,
	(u64, scheduled_id, PRIMARY_KEY, AUTO_INC),
	(schedule_at, scheduled_at),
	(str, text))

WL_TABLE(errand, PUBLIC,
	(u64, scheduled_id, PRIMARY_KEY, AUTO_INC),
	(schedule_at, scheduled_at),
	(str, text))

static u64 write_journal(str text)
{
	journal row = { 0, text };
	journal_insert(&row);
	return row.id;
}

/* ---- lifecycle ---- */

WL_INIT()
{
	write_journal(WL_STR("init"));
	return wl_ok();
}

WL_CONNECTED()
{
	online row = { ctx->connection, ctx->sender };
	online_insert(&row);
	return wl_ok();
}

WL_DISCONNECTED()
{
	online_delete_by_connection(ctx->connection);
	return wl_ok();
}

/* ---- rows of every type ---- */

WL_REDUCER(put_all, (all_types, row))
{
	if (!all_types_update_by_id(&row))
		all_types_insert(&row);
	return wl_ok();
}

WL_REDUCER(copy_all, (u32, id), (u32, to))
{
	all_types row;
	if (!all_types_find_by_id(id, &row))
		return wl_fail("no row %u", id);
	row.id = to;
	all_types_insert(&row);
	return wl_ok();
}

/* ---- players ---- */

WL_REDUCER(add_player, (str, name), (u16, slot), (u32, team), (u8, rank), (Color, color))
{
	player row = { 0, name, slot, team, rank, color };
	if (!player_insert(&row))
		return wl_fail("taken");
	write_journal(wl_format("player %llu", row.id));
	return wl_ok();
}

WL_REDUCER(set_player, (u64, id), (str, name), (u16, slot), (u32, team), (u8, rank), (Color, color))
{
	player row = { id, name, slot, team, rank, color };
	return player_update_by_id(&row) ? wl_ok() : wl_fail("no such player");
}

WL_REDUCER(drop_player, (u64, id))
{
	return player_delete_by_id(id) > 0 ? wl_ok() : wl_fail("no such player");
}

static u32 position;

static void find_begin(void)
{
	found_clear();
	position = 0;
}

static void find_one(const player *row)
{
	found one = { position++, row->id };
	found_insert(&one);
}

WL_REDUCER(find_name, (str, name))
{
	player row;
	find_begin();
	if (player_find_by_name(name, &row))
		find_one(&row);
	return wl_ok();
}

WL_REDUCER(find_slot, (u16, slot))
{
	player row;
	find_begin();
	if (player_find_by_slot(slot, &row))
		find_one(&row);
	return wl_ok();
}

WL_REDUCER(find_team, (u32, team))
{
	find_begin();
	WL_EACH_BY(player, team, row, team)
		find_one(&row);
	return wl_ok();
}

WL_REDUCER(find_color, (Color, color))
{
	find_begin();
	WL_EACH_BY(player, color, row, color)
		find_one(&row);
	return wl_ok();
}

WL_REDUCER(find_team_ranks, (u32, team), (u8, low), (u8, high))
{
	find_begin();
	WL_EACH_RANGE(player, by_team_rank, row, team, low, high)
		find_one(&row);
	return wl_ok();
}

WL_REDUCER(find_teams, (u32, low), (u32, high))
{
	find_begin();
	if (low >= high)
		return wl_ok();
	WL_EACH_RANGE(player, team, row, low, high - 1)
		find_one(&row);
	return wl_ok();
}

WL_REDUCER(find_all)
{
	find_begin();
	WL_EACH(player, row)
		find_one(&row);
	return wl_ok();
}

WL_REDUCER(drop_team_ranks, (u32, team), (u8, low), (u8, high))
{
	write_journal(wl_format("dropped %u", WL_DELETE_RANGE(player, by_team_rank, team, low, high)));
	return wl_ok();
}

WL_REDUCER(clear_players)
{
	write_journal(wl_format("cleared %llu", player_clear()));
	return wl_ok();
}

WL_REDUCER(count_players)
{
	write_journal(wl_format("counted %llu", player_count()));
	return wl_ok();
}

/* ---- other tables ---- */

WL_REDUCER(put_default, (u32, id), (str, text))
{
	defaults row = { id, text, 1, Color_Red, false };
	defaults_insert(&row);
	return wl_ok();
}

WL_REDUCER(add_small, (u32, count))
{
	for (u32 i = 0; i < count; i++) {
		small row = { 0 };
		if (!small_insert(&row))
			wl_panic("%d is there already", row.id);
	}
	return wl_ok();
}

WL_REDUCER(raise_alert, (str, text), (u8, level))
{
	alert row = { text, level };
	alert_insert(&row);
	return wl_ok();
}

WL_REDUCER(keep_secret, (u32, id), (str, word))
{
	secret row = { id, ctx->sender, word };
	secret_insert(&row);
	return wl_ok();
}

WL_REDUCER(write_note, (str, text))
{
	note row = { 0, ctx->sender, text };
	note_insert(&row);
	return wl_ok();
}

/* ---- schedules ---- */

static timestamp after(const struct wl_ctx *ctx, i64 micros)
{
	timestamp then = { ctx->now.micros + micros };
	return then;
}

WL_REDUCER(on_tick, (tick, row))
{
	bool ours = wl_identity_equal(ctx->sender, wl_database());
	write_journal(wl_format("tick %.*s%s", WL_FMT(row.text), ours ? "" : " by a stranger"));
	return wl_ok();
}
WL_SCHEDULE(tick, scheduled_at, on_tick)

WL_REDUCER(start_tick, (str, text), (i64, micros))
{
	tick row = { 0, wl_at(after(ctx, micros)), text };
	tick_insert(&row);
	return wl_ok();
}

WL_REDUCER(start_ticking, (str, text), (i64, micros))
{
	tick row = { 0, wl_every(micros), text };
	tick_insert(&row);
	return wl_ok();
}

WL_REDUCER(stop_ticking)
{
	tick_clear();
	return wl_ok();
}

WL_PROCEDURE(unit, on_errand, (errand, row))
{
	WL_TRANSACTION
		write_journal(wl_format("errand %.*s", WL_FMT(row.text)));
	return (unit){ 0 };
}
WL_SCHEDULE(errand, scheduled_at, on_errand)

WL_REDUCER(start_errand, (str, text), (i64, micros))
{
	errand row = { 0, wl_at(after(ctx, micros)), text };
	errand_insert(&row);
	return wl_ok();
}

/* ---- log, chance, who calls ---- */

WL_REDUCER(log_all)
{
	wl_error("an error");
	wl_warn("a warning");
	wl_info("an info");
	wl_debug("a debug line");
	wl_trace("a trace line");
	return wl_ok();
}

WL_REDUCER(time_it, (str, name))
{
	u32 timer = wl_abi_timer_start(name.data, name.len);
	wl_timer_end(&timer);
	return wl_ok();
}

WL_REDUCER(roll)
{
	u32 a = (u32)wl_random(), b = (u32)wl_random();
	write_journal(wl_format("rolled %u %u", a, b));
	return wl_ok();
}

WL_REDUCER(who_am_i)
{
	static const connection_id none;
	caller row = { 0, ctx->sender, { false, ctx->connection }, ctx->now, wl_database(), WL_STR("") };
	row.connection.some = __builtin_memcmp(&ctx->connection, &none, sizeof(none)) != 0;
	if (row.connection.some && !wl_jwt(ctx, &row.token))
		row.token = WL_STR("");
	caller_insert(&row);
	return wl_ok();
}

WL_REDUCER(fail, (str, text))
{
	write_journal(WL_STR("fail"));
	return wl_fail("%.*s", WL_FMT(text));
}

WL_REDUCER(crash, (str, text))
{
	write_journal(WL_STR("crash"));
	wl_panic("%.*s", WL_FMT(text));
}

/* ---- procedures ---- */

WL_PROCEDURE(u32, sum, (u32, a), (u32, b))
{
	return a + b;
}

WL_PROCEDURE(all_types, echo_all, (all_types, row))
{
	return row;
}

WL_PROCEDURE(u64, keep, (str, text))
{
	u64 id = 0;
	WL_TRANSACTION
		id = write_journal(text);
	return id;
}

WL_PROCEDURE(str, give_up, (str, text))
{
	WL_TRANSACTION {
		write_journal(text);
		break; /* rolled back */
	}
	return WL_STR("given up");
}

WL_PROCEDURE(i64, nap, (i64, micros))
{
	timestamp then = after(ctx, micros);
	return wl_sleep_until(then).micros - ctx->now.micros;
}

WL_PROCEDURE(str, fetch, (str, url))
{
	struct http_request request = { .method = HTTP_GET, .uri = url };
	struct http_response response;
	str error;
	if (!wl_http_send(&request, &response, &error))
		return wl_format("error: %.*s", WL_FMT(error));
	return wl_format("%u %.*s", response.status, WL_FMT(wl_body(&response)));
}

WL_PROCEDURE(u32, break_down, (str, text))
{
	wl_panic("%.*s", WL_FMT(text));
}

/* ---- HTTP ---- */

WL_HANDLER(hello)
{
	static const struct http_header type = { { "content-type", 12 }, { (const u8 *)"text/plain", 10 } };
	struct http_response response = wl_reply(200, WL_STR("hello"));
	response.headers = &type;
	response.header_count = 1;
	return response;
}
WL_ROUTE(GET, "/hello", hello)

WL_HANDLER(journal_entry)
{
	u64 id = 0;
	WL_TRANSACTION
		id = write_journal(wl_str_of((const char *)request->body.data, request->body.len));
	return wl_reply(200, wl_format("%llu", id));
}
WL_ROUTE(POST, "/journal", journal_entry)

WL_HANDLER(echo)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE",
		"PATCH" };
	static const struct http_header ours = { { "x-everything", 12 }, { (const u8 *)"yes", 3 } };
	str method = request->method == HTTP_EXTENSION ? request->extension
		: wl_str_of(methods[request->method], __builtin_strlen(methods[request->method]));
	struct http_response response = wl_reply(201, wl_format("%.*s %.*s", WL_FMT(method), (int)request->body.len,
		(const char *)request->body.data));
	response.headers = &ours;
	response.header_count = 1;
	return response;
}
WL_ROUTE(ANY, "/echo", echo)

WL_HANDLER(crash_page)
{
	wl_panic("a page that crashes");
}
WL_ROUTE(GET, "/crash", crash_page)

/* ---- views ---- */

WL_VIEW(player, reds)
{
	WL_EACH_BY(player, color, row, Color_Red)
		player_emit(&row);
}

WL_VIEW(player, first_slot)
{
	player row;
	if (player_find_by_slot(1, &row))
		player_emit(&row);
}

WL_SENDER_VIEW(secret, my_secrets)
{
	WL_EACH_BY(secret, who, row, ctx->sender)
		secret_emit(&row);
}

WL_QUERY_VIEW(player, high_ranks)
{
	return WL_STR("SELECT * FROM player WHERE rank > 100");
}

WL_VIEW(TeamSize, team_sizes)
{
	for (u32 team = 0; team < 5; team++) {
		TeamSize size = { team, 0 };
		WL_EACH_BY(player, team, row, team)
			size.members += row.id > 0;
		if (size.members > 0)
			TeamSize_emit(&size);
	}
}

/* ---- what 2.11 to 2.14 added ---- */

WL_OPTIONAL_VARIABLE(GREETING)
WL_OPTIONAL_CHOICE(MODE, "quiet", "loud")

static str env_text(void)
{
	str greeting, mode;
	if (!wl_env("GREETING", &greeting))
		greeting = WL_STR("-");
	if (!wl_env("MODE", &mode))
		mode = WL_STR("-");
	return wl_format("%.*s %.*s", WL_FMT(greeting), WL_FMT(mode));
}

WL_REDUCER(read_env)
{
	write_journal(wl_format("env %.*s", WL_FMT(env_text())));
	return wl_ok();
}

WL_PROCEDURE(str, env_now)
{
	return wl_format("env %.*s", WL_FMT(env_text()));
}

WL_VIEW(TeamSize, greeting)
{
	str text;
	if (!wl_env("GREETING", &text))
		return;
	TeamSize row = { 0, text.len };
	TeamSize_emit(&row);
}

WL_VIEW(player, team_of, (u32, team))
{
	WL_EACH_BY(player, team, row, team)
		player_emit(&row);
}
