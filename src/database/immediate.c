/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls at once: what a module asks for with volatile_nonatomic_schedule_immediate,
 * whatever becomes of the transaction that asked. Mail like all other; lost when
 * the host stops.
 */
#include "base/log.h"
#include "database/database_internal.h"

enum { IMMEDIATE_MAX = 1 << 16, IMMEDIATE_BYTES_MAX = 64 << 20 };

struct immediate {
	struct mail mail;
	size_t name_len, args_len;
	uint8_t data[]; /* the name, then the arguments */
};

void db_schedule_immediate(struct database *db, struct str name, struct bytes args)
{
	size_t size = name.len + args.len;
	if (atomic_load(&db->immediate_bytes) + size > IMMEDIATE_BYTES_MAX ||
		atomic_load(&db->immediates) >= IMMEDIATE_MAX) {
		db_log_host(db, 0, "a call of %.*s is dropped: %d calls or %d bytes wait already", STR_FMT(str_cut(name, 256)),
			IMMEDIATE_MAX, IMMEDIATE_BYTES_MAX);
		return;
	}
	struct immediate *call = mem_alloc(sizeof(*call) + size);
	if (call == NULL) {
		db_log_host(db, 0, "a call of %.*s is dropped: out of memory", STR_FMT(str_cut(name, 256)));
		return;
	}
	*call = (struct immediate){ .mail = { .kind = MAIL_IMMEDIATE }, .name_len = name.len, .args_len = args.len };
	memcpy(call->data, name.data, name.len);
	memcpy(call->data + name.len, args.data, args.len);
	atomic_fetch_add(&db->immediates, 1);
	atomic_fetch_add(&db->immediate_bytes, size);
	db_push(db, &call->mail);
	timers_kick(db->options.timers, db);
}

void db_immediate_free(struct database *db, struct mail *mail)
{
	struct immediate *call = (struct immediate *)mail;
	atomic_fetch_sub(&db->immediates, 1);
	atomic_fetch_sub(&db->immediate_bytes, call->name_len + call->args_len);
	mem_free(call);
}

static bool arguments_valid(const struct module_function *function, struct bytes args)
{
	size_t used;
	struct error why;
	return sats_validate(function->params_layout, args.data, args.len, &used, &why) == WL_OK;
}

void db_immediate_run(struct database *db, struct mail *mail)
{
	struct immediate *call = (struct immediate *)mail;
	struct str name = { (const char *)call->data, call->name_len };
	struct bytes args = { call->data + call->name_len, call->args_len };
	uint32_t id;
	if (!db_is_closing(db) && !database_closed(db)) {
		const struct module_function *function = module_reducer(db->module.def, name, &id);
		if (function != NULL && arguments_valid(function, args))
			(void)db_call_reducer(db, function, id, args, db_now(db));
		else if (function == NULL && (function = module_procedure(db->module.def, name, &id)) != NULL &&
			arguments_valid(function, args))
			(void)db_call_procedure(db, function, id, args, db_now(db), NULL);
		else
			log_warn("a module asked for a call of %.*s, which it does not have or whose arguments are others",
				STR_FMT(str_cut(name, 256)));
	}
	db_immediate_free(db, mail);
}
