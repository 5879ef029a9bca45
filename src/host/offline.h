/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HOST_OFFLINE_H
#define HOST_OFFLINE_H
/*
 * offline: a data folder from outside: which databases are in it, and, while
 * no host runs there, one that comes from elsewhere.
 *
 * Threading: one thread; all block. Errors: WL_ERR_NOT_FOUND, WL_ERR_EXISTS
 * with what to do, those of files.
 */
#include "base/buf.h"
#include "host/datadir.h"
#include "runtime/runtime.h"

struct host_found {
	struct identity identity, owner;
	uint8_t initial_program[32];
	enum runtime_kind kind;
	char folder[4096];
	struct buf names; /* each ended by a zero byte; the caller's to deinit */
};
/* By name or identity. A host may run on the folder. */
enum wl_err host_find(const char *data_dir, struct str database, struct host_found *out, struct error *error);
enum wl_err host_program(const char *data_dir, const uint8_t hash[32], struct buf *out, struct error *error);
enum wl_err host_program_put(const char *data_dir, const uint8_t hash[32], struct bytes program, struct error *error);
/* An identity that no database has. */
void host_identity_create(struct identity *out);

struct host_adoption {
	struct identity identity, owner;
	uint8_t initial_program[32];
	enum runtime_kind kind;
	const struct str *names;
	uint32_t name_count;
	bool replaces; /* a database with this identity goes when the new one is whole; its names stay what they are */
	/* Writes the new folder's files, and syncs them. */
	enum wl_err (*fill)(void *context, const char *folder, struct error *error);
	void *context;
};
/* `dir` held: no host runs. On failure all is as before. */
enum wl_err host_adopt(struct datadir *dir, const struct host_adoption *adoption, struct error *error);
#endif
