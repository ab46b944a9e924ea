/* A disk for SQLite that fails when it is told to: a VFS (sqlite.org/vfs.html) before the usual one. It acts on files
 * below a folder whose name contains "faulty-disk", and lets everything else through. One test at a time. */
#ifndef FAULTY_DISK_H
#define FAULTY_DISK_H

#include <stdbool.h>
#include <stdint.h>

/* Makes it the default VFS, once. */
void faulty_disk_install(void);

/* From now on counts calls that write, sync or truncate. The number `call`, counted from 1, fails with `code`, an
 * SQLITE_ value; with `stays` all later ones, too. 0 for none. */
void faulty_disk_fail(int64_t call, int code, bool stays);

/* The same for `count` calls. */
void faulty_disk_fail_for(int64_t call, int code, int64_t count);

/* Such calls since the last faulty_disk_fail(). */
int64_t faulty_disk_calls(void);

/* The same for another disk: files below a folder whose name contains "faulty-state". */
void faulty_state_fail(int64_t call, int code, bool stays);
int64_t faulty_state_calls(void);

/* What is written stays in memory until it is synced, as in a disk's volatile cache. */
void faulty_disk_cache(bool on);

/* The power fails: of what was not synced, some writes reach the files, some torn at a sector, in any order; the others
 * never do. Whatever is still open writes nothing any more. */
void faulty_disk_cut(uint64_t seed);

#endif
