/* The time of day of a process, set wrong as by an operator, NTP or a dead battery while the steady clocks go on, for LD_PRELOAD.

   WRONG_CLOCK_S says by how many seconds it is off; WRONG_CLOCK_FILE names a file that says by how many milliseconds, as text, and
   may be replaced while the process runs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long wrong_by_ms(void)
{
    const char *set = getenv("WRONG_CLOCK_S"), *name = getenv("WRONG_CLOCK_FILE");
    char text[32];
    if (!name)
        return set ? atoll(set) * 1000 : 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    text[length > 0 ? length : 0] = 0;
    return atoll(text);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        long long at_ns = now->tv_sec * 1000000000LL + now->tv_nsec + wrong_by_ms() * 1000000LL;
        now->tv_sec = at_ns / 1000000000LL;
        now->tv_nsec = at_ns % 1000000000LL;
    }
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec at;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &at))
        return -1;
    now->tv_sec = at.tv_sec;
    now->tv_usec = at.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
