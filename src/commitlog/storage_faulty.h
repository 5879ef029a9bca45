/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORAGE_FAULTY_H
#define STORAGE_FAULTY_H
/*
 * storage_faulty: a simulated disk in memory, for tests and simulators.
 *
 * It behaves as the worst disk that POSIX allows. What was written is seen by
 * readers at once; what survives a crash is decided sector by sector (512 or
 * 4,096 bytes, by seed): for each, any state since its last sync, so unsynced
 * writes are dropped, torn and reordered. New and removed names survive only
 * if their directory was synced. A sync that fails throws away the chance of
 * what was unsynced: later syncs "succeed" without it, readers still see it.
 *
 * Threading: any thread (one lock); the lies are told, and what is there is looked at and damaged, while nobody else
 * uses the disk. Seeded: the same calls give the same disk.
 * Files must be closed before storage_faulty_crash.
 */
#include "commitlog/commitlog.h"

struct storage_faulty;
struct storage_faulty *storage_faulty_create(uint64_t seed);
void storage_faulty_destroy(struct storage_faulty *disk);
struct storage *storage_faulty_storage(struct storage_faulty *disk);

/* Power off at the n-th call from now that changes anything (1: the next): that call may have happened in part, it and
 * all later calls fail with EIO. 0 disarms. */
void storage_faulty_power_off_at(struct storage_faulty *disk, uint64_t n);
bool storage_faulty_is_off(const struct storage_faulty *disk);
/* The crash: decides what survives, forgets the rest, and switches the power on again. */
void storage_faulty_crash(struct storage_faulty *disk);

/* The n-th call of this kind from now fails once with `reason`. 0 disarms. */
enum storage_faulty_call {
	STORAGE_FAULTY_OPEN, STORAGE_FAULTY_READ, STORAGE_FAULTY_WRITE, STORAGE_FAULTY_ALLOCATE, STORAGE_FAULTY_SYNC,
	STORAGE_FAULTY_RENAME, STORAGE_FAULTY_REMOVE, STORAGE_FAULTY_ANY, STORAGE_FAULTY_CALLS,
};
void storage_faulty_fail_at(struct storage_faulty *disk, enum storage_faulty_call call, uint64_t n, int reason);
uint64_t storage_faulty_pending(struct storage_faulty *disk); /* 0: what was armed has struck, or was disarmed */
/* All files together may take this many bytes; then ENOSPC. UINT64_MAX: no limit. */
void storage_faulty_capacity(struct storage_faulty *disk, uint64_t bytes);

/* Lies, to prove that the tests would notice: syncs do nothing; renames do not sync the directory. */
void storage_faulty_sync_is_lie(struct storage_faulty *disk, bool lie);
void storage_faulty_rename_is_lie(struct storage_faulty *disk, bool lie);

/* Looking at and damaging what is there; as if it had been on the disk all along. */
uint64_t storage_faulty_calls(const struct storage_faulty *disk); /* that changed anything, ever */
uint64_t storage_faulty_syncs(const struct storage_faulty *disk);
bool storage_faulty_get(struct storage_faulty *disk, const char *path, struct buf *out);
bool storage_faulty_set(struct storage_faulty *disk, const char *path, const void *data, size_t len);
bool storage_faulty_flip(struct storage_faulty *disk, const char *path, uint64_t at, uint8_t mask);
#endif
