/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_H
#define CONFIG_H
/*
 * config: config.toml of the data folder. Read once at start; written from a
 * template when it is missing. Unknown keys are ignored; a bad value stops the
 * start. Immutable after config_load.
 *
 * Source: http-api.md section 14.2.
 */
#include "base/base.h"
#include "base/log.h"

struct config {
	char *jwt_private_key, *jwt_public_key; /* NULL: not set */
	enum log_level log_level;
	bool module_http_enabled, module_http_loopback;
	bool oidc_enabled;             /* foreign issuers are believed at all */
	bool oidc_private_addresses;   /* issuers on private and loopback addresses may be asked */
	uint32_t loops;                /* network threads; 0: by the number of cores */
	uint32_t ping_interval_ms, idle_timeout_ms, close_timeout_ms;
	uint32_t incoming_queue_length; /* unanswered messages of one connection */
	uint32_t reducer_ms;           /* 0: no limit */
	uint32_t replay_ms, snapshots_kept; /* what restarts and the past may cost (database.h) */
	uint64_t log_kept_bytes;
	bool opens_damaged;
	char *archive; /* NULL: none */
	uint64_t database_memory_max, database_disk_max; /* bytes; 0: no limit */
	uint32_t subscriptions_per_connection, queries_per_connection;
	uint64_t guest_memory_bytes;
	uint64_t memory_bytes;         /* of all databases and connections together; 0: by the machine */
	uint64_t module_log_bytes;     /* of all log files of one database */
	uint64_t energy_call, energy_database, energy_identity; /* budgets in eV; 0: none */
};
/* Reads DIR/config.toml; writes it first when it is missing (mode 0600). */
enum wl_err config_load(const char *dir, struct config *out, struct error *error);
/* From text; for tests. `path` is for error texts. */
enum wl_err config_parse(struct str text, const char *path, struct config *out, struct error *error);
void config_deinit(struct config *config); /* safe on a zeroed struct */
/* "15s", "1m 30s", "250ms": milliseconds. */
bool duration_parse(struct str text, uint64_t *ms, const char **reason);
#endif
