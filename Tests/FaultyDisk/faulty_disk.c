#include "faulty_disk.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { sector = 512 };

/* A write, or where `data` is NULL a truncation to `offset`, that was not synced. */
typedef struct {
    sqlite3_int64 offset;
    int length;
    unsigned char *data;
} operation;

/* Each is for one suite of tests, since suites run beside each other. */
typedef struct {
    /* In the name of a folder. */
    const char *mark;
    int64_t calls, failing_call, failures;
    int failing_code;
    bool caches;
} disk;

typedef struct faulty_file {
    sqlite3_file base;
    bool is_watched;
    disk *disk;
    /* The power has failed since it was opened. */
    bool is_dead;
    operation *operations;
    int count, capacity;
    struct faulty_file *next;
    sqlite3_file *real;
} faulty_file;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sqlite3_vfs *usual;
static sqlite3_vfs faulty;
static faulty_file *watched;
static disk first = { .mark = "faulty-disk" }, second = { .mark = "faulty-state" };

/* Under the lock. */
static int count_call(const faulty_file *file) {
    if (file->is_dead) return SQLITE_IOERR;
    disk *disk = file->disk;
    disk->calls++;
    bool fails = disk->failing_call > 0 && disk->calls >= disk->failing_call
        && disk->calls - disk->failing_call < disk->failures;
    return fails ? disk->failing_code : SQLITE_OK;
}

static int apply(faulty_file *file, const operation *operation, int length) {
    if (!operation->data) return file->real->pMethods->xTruncate(file->real, operation->offset);
    return file->real->pMethods->xWrite(file->real, operation->data, length, operation->offset);
}

static void forget(faulty_file *file) {
    for (int i = 0; i < file->count; i++) free(file->operations[i].data);
    file->count = 0;
}

static int keep(faulty_file *file, const void *data, int length, sqlite3_int64 offset) {
    if (file->count == file->capacity) {
        file->capacity = file->capacity ? 2 * file->capacity : 64;
        file->operations = realloc(file->operations, sizeof(operation) * (size_t)file->capacity);
    }
    operation *kept = &file->operations[file->count++];
    *kept = (operation){ offset, length, NULL };
    if (data) {
        kept->data = malloc((size_t)length);
        memcpy(kept->data, data, (size_t)length);
    }
    return SQLITE_OK;
}

static int flush(faulty_file *file) {
    int result = SQLITE_OK;
    for (int i = 0; i < file->count && result == SQLITE_OK; i++)
        result = apply(file, &file->operations[i], file->operations[i].length);
    forget(file);
    return result;
}

static int close_file(sqlite3_file *base) {
    faulty_file *file = (faulty_file *)base;
    pthread_mutex_lock(&lock);
    if (file->is_watched) {
        for (faulty_file **place = &watched; *place; place = &(*place)->next)
            if (*place == file) {
                *place = file->next;
                break;
            }
        /* A process that ends leaves its writes to the kernel. */
        if (!file->is_dead) flush(file);
        forget(file);
        free(file->operations);
    }
    pthread_mutex_unlock(&lock);
    return file->real->pMethods->xClose(file->real);
}

static int size_of(faulty_file *file, sqlite3_int64 *size) {
    int result = file->real->pMethods->xFileSize(file->real, size);
    for (int i = 0; i < file->count; i++) {
        const operation *kept = &file->operations[i];
        if (!kept->data) *size = kept->offset;
        else if (kept->offset + kept->length > *size) *size = kept->offset + kept->length;
    }
    return result;
}

static int read_file(sqlite3_file *base, void *buffer, int length, sqlite3_int64 offset) {
    faulty_file *file = (faulty_file *)base;
    pthread_mutex_lock(&lock);
    if (!file->count) {
        int result = file->real->pMethods->xRead(file->real, buffer, length, offset);
        pthread_mutex_unlock(&lock);
        return result;
    }
    int result = file->real->pMethods->xRead(file->real, buffer, length, offset);
    if (result == SQLITE_OK || result == SQLITE_IOERR_SHORT_READ) {
        sqlite3_int64 size = 0;
        for (int i = 0; i < file->count; i++) {
            const operation *kept = &file->operations[i];
            sqlite3_int64 from = kept->offset > offset ? kept->offset : offset;
            sqlite3_int64 to = offset + length;
            if (kept->data && kept->offset + kept->length < to) to = kept->offset + kept->length;
            if (from >= to) continue;
            unsigned char *target = (unsigned char *)buffer + (from - offset);
            if (kept->data) memcpy(target, kept->data + (from - kept->offset), (size_t)(to - from));
            else memset(target, 0, (size_t)(to - from));
        }
        result = size_of(file, &size);
        if (result == SQLITE_OK && offset + length > size) {
            if (size < offset) size = offset;
            memset((unsigned char *)buffer + (size - offset), 0, (size_t)(offset + length - size));
            result = SQLITE_IOERR_SHORT_READ;
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static int write_file(sqlite3_file *base, const void *buffer, int length, sqlite3_int64 offset) {
    faulty_file *file = (faulty_file *)base;
    if (!file->is_watched) return file->real->pMethods->xWrite(file->real, buffer, length, offset);
    pthread_mutex_lock(&lock);
    int result = count_call(file);
    if (result == SQLITE_OK)
        result = file->disk->caches ? keep(file, buffer, length, offset)
                        : file->real->pMethods->xWrite(file->real, buffer, length, offset);
    pthread_mutex_unlock(&lock);
    return result;
}

static int truncate_file(sqlite3_file *base, sqlite3_int64 size) {
    faulty_file *file = (faulty_file *)base;
    if (!file->is_watched) return file->real->pMethods->xTruncate(file->real, size);
    pthread_mutex_lock(&lock);
    int result = count_call(file);
    if (result == SQLITE_OK)
        result = file->disk->caches ? keep(file, NULL, 0, size) : file->real->pMethods->xTruncate(file->real, size);
    pthread_mutex_unlock(&lock);
    return result;
}

static int sync_file(sqlite3_file *base, int flags) {
    faulty_file *file = (faulty_file *)base;
    if (!file->is_watched) return file->real->pMethods->xSync(file->real, flags);
    pthread_mutex_lock(&lock);
    int result = count_call(file);
    /* The files of a test outlive its process's power cuts in the kernel: nothing need reach a real disk. */
    if (result == SQLITE_OK) result = flush(file);
    pthread_mutex_unlock(&lock);
    return result;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
    faulty_file *file = (faulty_file *)base;
    pthread_mutex_lock(&lock);
    int result = size_of(file, size);
    pthread_mutex_unlock(&lock);
    return result;
}

#define REAL(call) (((faulty_file *)base)->real->pMethods->call)
static int lock_file(sqlite3_file *base, int level) { return REAL(xLock)(((faulty_file *)base)->real, level); }
static int unlock_file(sqlite3_file *base, int level) { return REAL(xUnlock)(((faulty_file *)base)->real, level); }
static int check_lock(sqlite3_file *base, int *result) {
    return REAL(xCheckReservedLock)(((faulty_file *)base)->real, result);
}
static int control(sqlite3_file *base, int code, void *argument) {
    /* Not to write past this layer in larger pieces than it sees. */
    if (code == SQLITE_FCNTL_CHUNK_SIZE || code == SQLITE_FCNTL_SIZE_HINT) return SQLITE_OK;
    return REAL(xFileControl)(((faulty_file *)base)->real, code, argument);
}
static int sector_size(sqlite3_file *base) { return REAL(xSectorSize)(((faulty_file *)base)->real); }
static int characteristics(sqlite3_file *base) {
    (void)base;
    /* Promise nothing: no atomic writes, no order, no power-safe overwrite. */
    return 0;
}

/* Version 1: neither shared memory nor mapping, which an exclusive lock does without. */
static const sqlite3_io_methods methods = {
    1,           close_file, read_file,  write_file,  truncate_file, sync_file,       file_size,
    lock_file,   unlock_file, check_lock, control,     sector_size,   characteristics,
};

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out) {
    (void)vfs;
    disk *disk = !name ? NULL : strstr(name, first.mark) ? &first : strstr(name, second.mark) ? &second : NULL;
    if (!disk) return usual->xOpen(usual, name, base, flags, out);
    faulty_file *file = (faulty_file *)base;
    *file = (faulty_file){ .is_watched = true, .disk = disk, .real = (sqlite3_file *)(file + 1) };
    int result = usual->xOpen(usual, name, file->real, flags, out);
    if (result != SQLITE_OK) {
        file->base.pMethods = NULL;
        return result;
    }
    file->base.pMethods = &methods;
    pthread_mutex_lock(&lock);
    file->next = watched;
    watched = file;
    pthread_mutex_unlock(&lock);
    return SQLITE_OK;
}

static void install(void) {
    usual = sqlite3_vfs_find(NULL);
    faulty = *usual;
    faulty.zName = "faulty-disk";
    faulty.pNext = NULL;
    faulty.szOsFile = usual->szOsFile + (int)sizeof(faulty_file);
    faulty.xOpen = open_file;
    sqlite3_vfs_register(&faulty, 1);
}

void faulty_disk_install(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    sqlite3_initialize();
    pthread_once(&once, install);
}

static void fail(disk *disk, int64_t call, int code, int64_t count) {
    pthread_mutex_lock(&lock);
    disk->calls = 0;
    disk->failing_call = call;
    disk->failing_code = code;
    disk->failures = count;
    pthread_mutex_unlock(&lock);
}

static int64_t calls(disk *disk) {
    pthread_mutex_lock(&lock);
    int64_t result = disk->calls;
    pthread_mutex_unlock(&lock);
    return result;
}

void faulty_disk_fail(int64_t call, int code, bool stays) { fail(&first, call, code, stays ? INT64_MAX : 1); }

void faulty_disk_fail_for(int64_t call, int code, int64_t count) { fail(&first, call, code, count); }

int64_t faulty_disk_calls(void) { return calls(&first); }

void faulty_state_fail(int64_t call, int code, bool stays) { fail(&second, call, code, stays ? INT64_MAX : 1); }

int64_t faulty_state_calls(void) { return calls(&second); }

void faulty_disk_cache(bool on) {
    pthread_mutex_lock(&lock);
    first.caches = on;
    pthread_mutex_unlock(&lock);
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t draw(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void faulty_disk_cut(uint64_t seed) {
    pthread_mutex_lock(&lock);
    for (faulty_file *file = watched; file; file = file->next) {
        if (file->disk != &first) continue;
        for (int i = file->count - 1; i > 0; i--) {
            int other = (int)(draw(&seed) % (uint64_t)(i + 1));
            operation kept = file->operations[i];
            file->operations[i] = file->operations[other];
            file->operations[other] = kept;
        }
        for (int i = 0; i < file->count; i++) {
            const operation *kept = &file->operations[i];
            uint64_t fate = draw(&seed) % 4;
            if (fate < 2) continue;
            int length = kept->length;
            if (fate == 2 && length > sector) length = (int)(draw(&seed) % (uint64_t)(length / sector)) * sector;
            if (length > 0 || !kept->data) apply(file, kept, length);
        }
        forget(file);
        file->is_dead = true;
    }
    pthread_mutex_unlock(&lock);
}
