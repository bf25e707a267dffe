/* Calls of a process that fail with EIO, for LD_PRELOAD.

   FAILING_CALLS names a file. Each of its lines is `CALL PART`: while it stands there, that call fails on each file or folder whose
   path ends with PART. Without the file, or with an empty one, nothing fails. Calls: open (for writing), write, pwrite, fsync,
   fdatasync, ftruncate, unlink, rename. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int ends_with(const char *path, const char *part)
{
    size_t all = strlen(path), end = strlen(part);
    return all >= end && strcmp(path + all - end, part) == 0;
}

static int fails(const char *call, const char *path)
{
    const char *name = getenv("FAILING_CALLS");
    char lines[1024], *rest = lines, *line;
    if (!name)
        return 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = syscall(SYS_read, file, lines, sizeof lines - 1);
    syscall(SYS_close, file);
    lines[length > 0 ? length : 0] = 0;
    while ((line = strsep(&rest, "\n"))) {
        char *part = strchr(line, ' ');
        if (!part)
            continue;
        *part++ = 0;
        if (strcmp(line, call) == 0 && ends_with(path, part)) {
            errno = EIO;
            return 1;
        }
    }
    return 0;
}

static int fails_on(const char *call, int file)
{
    char link[64], path[4096];
    if (!getenv("FAILING_CALLS"))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return fails(call, path);
}

#define REAL(type, name, ...) ((type)dlsym(RTLD_NEXT, name))(__VA_ARGS__)

static int open_as(const char *real, const char *path, int flags, mode_t mode)
{
    if ((flags & O_ACCMODE) != O_RDONLY && fails("open", path))
        return -1;
    return REAL(int (*)(const char *, int, mode_t), real, path, flags, mode);
}

#define OPEN(name)                                                                                                             \
    int name(const char *path, int flags, ...)                                                                                 \
    {                                                                                                                          \
        va_list rest;                                                                                                          \
        va_start(rest, flags);                                                                                                 \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                                \
        va_end(rest);                                                                                                          \
        return open_as(#name, path, flags, mode);                                                                              \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int file, const void *bytes, size_t count)
{
    return fails_on("write", file) ? -1 : REAL(ssize_t (*)(int, const void *, size_t), "write", file, bytes, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at)
{
    return fails_on("pwrite", file) ? -1 : REAL(ssize_t (*)(int, const void *, size_t, off64_t), "pwrite64", file, bytes, count, at);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) { return pwrite64(file, bytes, count, at); }

int ftruncate64(int file, off64_t length)
{
    return fails_on("ftruncate", file) ? -1 : REAL(int (*)(int, off64_t), "ftruncate64", file, length);
}

int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

int fsync(int file) { return fails_on("fsync", file) ? -1 : REAL(int (*)(int), "fsync", file); }

int fdatasync(int file) { return fails_on("fdatasync", file) ? -1 : REAL(int (*)(int), "fdatasync", file); }

int unlink(const char *path) { return fails("unlink", path) ? -1 : REAL(int (*)(const char *), "unlink", path); }

int rename(const char *from, const char *to) { return fails("rename", to) ? -1 : REAL(int (*)(const char *, const char *), "rename", from, to); }
