/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: of the connections of one client object, which reconnects under
 * one session id, only one lives. A newcomer is refused while the old
 * connection is there, and sends it away; it comes again.
 *
 * A session is held from before its client connects until the executor has
 * run `client_disconnected` and freed the client: so no reducer ever sees two
 * connections of one session, nor the end of the old after the beginning of
 * the new.
 *
 * Threading: [any]. Source: since-2.8.md 1.3.
 */
#include "api/api_internal.h"
#include "base/mem.h"

struct session {
	struct api *api;
	uint8_t key[32 + 32 + 16]; /* database, identity, session id */
	net_conn conn;             /* 0: it is not upgraded yet */
};

struct kick {
	struct net_task task;
	net_conn conn;
};

static void run_kick(struct net_loop *loop, struct net_task *task)
{
	struct kick *kick = (struct kick *)(void *)task;
	net_ws_drop(loop, kick->conn);
	mem_free(kick);
}

struct session *session_enter(struct api *api, const struct identity *database, const struct identity *identity,
	const struct connection_id *id, bool *is_busy)
{
	struct session *session = mem_zalloc(sizeof(*session));
	uint64_t held;
	net_conn old = 0;
	*is_busy = false;
	if (session == NULL)
		return NULL;
	session->api = api;
	memcpy(session->key, database->le, 32);
	memcpy(session->key + 32, identity->le, 32);
	memcpy(session->key + 64, id->le, 16);
	monitor_lock(&api->sessions_monitor);
	*is_busy = map_get(&api->sessions, session->key, sizeof(session->key), &held);
	if (*is_busy)
		old = ((const struct session *)(uintptr_t)held)->conn;
	bool entered = !*is_busy && map_put(&api->sessions, session->key, sizeof(session->key), (uintptr_t)session);
	monitor_unlock(&api->sessions_monitor);
	if (entered)
		return session;
	mem_free(session);
	struct kick *kick = old != 0 ? mem_zalloc(sizeof(*kick)) : NULL;
	if (kick != NULL) { /* without memory it stays until the newcomer comes again */
		kick->task.fn = run_kick;
		kick->conn = old;
		net_loop_post(net_loop_at(api->net, net_conn_loop(old)), &kick->task);
	}
	return NULL;
}

void session_connected(struct session *session, net_conn conn)
{
	monitor_lock(&session->api->sessions_monitor);
	session->conn = conn;
	monitor_unlock(&session->api->sessions_monitor);
}

void session_leave(void *context)
{
	struct session *session = context;
	monitor_lock(&session->api->sessions_monitor);
	map_remove(&session->api->sessions, session->key, sizeof(session->key));
	monitor_unlock(&session->api->sessions_monitor);
	mem_free(session);
}
