/* Faults of the disk below a catalogue's write-ahead log, for LD_PRELOAD.

   They begin once the file named by FAULT_ARMED is there:
   FAULT=stop   the process stops (SIGSTOP) at its first write to the log, in the middle of a transaction;
   FAULT=flush  each flush of the log fails with EIO, though what was written is there;
   FAULT=dead   as flush, and from then on each write to the catalogue or its log fails as well. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int stopped, dead;

static int is_fault(const char *name)
{
    const char *fault = getenv("FAULT"), *armed = getenv("FAULT_ARMED");
    return fault && armed && strcmp(fault, name) == 0 && access(armed, F_OK) == 0;
}

static int is_named(int file, const char *part)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strstr(path, part) != NULL;
}

/* Whether the write is to fail; the process may stop first. */
static int is_to_fail(int file)
{
    if (!dead && (stopped || !is_fault("stop")))
        return 0;
    if (!stopped && !dead && is_named(file, "catalogue.sqlite-wal")) {
        stopped = 1;
        raise(SIGSTOP);
    }
    if (dead && is_named(file, "catalogue.sqlite")) {
        errno = EIO;
        return 1;
    }
    return 0;
}

ssize_t write(int file, const void *bytes, size_t count)
{
    if (is_to_fail(file))
        return -1;
    return ((ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(file, bytes, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at)
{
    if (is_to_fail(file))
        return -1;
    return ((ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(file, bytes, count, at);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) { return pwrite64(file, bytes, count, at); }

static int flush(const char *real, int file)
{
    if ((is_fault("flush") || is_fault("dead")) && is_named(file, "catalogue.sqlite-wal")) {
        dead = is_fault("dead");
        errno = EIO;
        return -1;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, real))(file);
}

int fsync(int file) { return flush("fsync", file); }
int fdatasync(int file) { return flush("fdatasync", file); }
