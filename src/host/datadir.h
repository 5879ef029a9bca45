/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATADIR_H
#define DATADIR_H
/*
 * datadir: the folder a host lives in. Holding it means holding its lock: one
 * host at a time. Any thread, blocking; used at start and stop.
 *
 * Source: http-api.md section 14.3.
 */
#include "commitlog/commitlog.h"

struct datadir;
/* Creates the folder if need be, takes the lock (WL_ERR_UNAVAILABLE: another host has it), checks the version. */
enum wl_err datadir_open(const char *path, struct datadir **out, struct error *error);
void datadir_close(struct datadir *dir); /* NULL is fine */
const char *datadir_path(const struct datadir *dir);
/* Checks metadata.toml at `path` against a version and edition; writes or raises it. */
enum wl_err datadir_metadata(struct storage *storage, const char *path, const char *version, const char *edition,
	struct error *error);
#endif
