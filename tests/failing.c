/* Makes chosen system calls fail, for the file systems that no test machine has.

   Loaded by LD_PRELOAD. FAILING holds rules, parted by ';', each

       call:part of the path:what[:how many pass first]

   where call is read, write, fsync, fsyncdir (fsync of a folder), rename or flock (fcntl locks
   count as flock), and what is an error number, "crash" (segmentation fault), "die" (SIGKILL),
   "hang", or "short" (write: half of the bytes). Where a timer is to end the process within `SOON`
   seconds, a hang spends them at once: calls that end have all of them, on a slow machine too.
   Calls are counted in each process. When ONCE names a folder, each rule holds once among all
   processes. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define RULES 16
#define SOON 300
static long passed[RULES];

/* Whether a rule is still to be kept; the folder ONCE remembers it for all processes. */
static int is_due(int number) {
    const char *folder = getenv("ONCE");
    char mark[PATH_MAX];
    if (folder == NULL)
        return 1;
    snprintf(mark, sizeof mark, "%s/%d", folder, number);
    int descriptor = open(mark, O_CREAT | O_EXCL | O_WRONLY, 0600);
    if (descriptor >= 0)
        close(descriptor);
    return descriptor >= 0;
}

static void hang(void) {
    struct itimerval left;
    const struct itimerval now = {.it_value = {.tv_usec = 100000}};
    if (getitimer(ITIMER_REAL, &left) == 0 && left.it_value.tv_sec > 0 &&
        left.it_value.tv_sec <= SOON)
        setitimer(ITIMER_REAL, &now, NULL);
    for (;;)
        sleep(1000);
}

/* 0: do the call; otherwise the error number, or -1 for a short write. */
static int verdict(const char *call, const char *path) {
    const char *rules = getenv("FAILING");
    if (rules == NULL || path == NULL)
        return 0;
    char copy[4096], *outer = NULL;
    snprintf(copy, sizeof copy, "%s", rules);
    int number = 0;
    for (char *rule = strtok_r(copy, ";", &outer); rule && number < RULES;
         rule = strtok_r(NULL, ";", &outer), number++) {
        char *inner = NULL;
        char *name = strtok_r(rule, ":", &inner), *part = strtok_r(NULL, ":", &inner);
        char *what = strtok_r(NULL, ":", &inner), *first = strtok_r(NULL, ":", &inner);
        if (!what || strcmp(name, call) || !strstr(path, part))
            continue;
        if (__sync_fetch_and_add(&passed[number], 1) < (first ? atol(first) : 0))
            continue;
        if (!is_due(number))
            continue;
        if (!strcmp(what, "crash"))
            raise(SIGSEGV);
        if (!strcmp(what, "die"))
            raise(SIGKILL);
        if (!strcmp(what, "hang"))
            hang();
        return strcmp(what, "short") ? atoi(what) : -1;
    }
    return 0;
}

static int verdict_of(const char *call, int descriptor) {
    char link[64], path[PATH_MAX];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return 0;
    path[length] = 0;
    return verdict(call, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(error)                                                                                \
    do {                                                                                           \
        errno = (error);                                                                           \
        return -1;                                                                                 \
    } while (0)

ssize_t read(int descriptor, void *buffer, size_t count) {
    int error = verdict_of("read", descriptor);
    if (error > 0)
        FAIL(error);
    return REAL(read)(descriptor, buffer, count);
}

ssize_t write(int descriptor, const void *buffer, size_t count) {
    int error = verdict_of("write", descriptor);
    if (error > 0)
        FAIL(error);
    return REAL(write)(descriptor, buffer, error < 0 && count > 1 ? count / 2 : count);
}

int fsync(int descriptor) {
    struct stat state;
    int folder = fstat(descriptor, &state) == 0 && S_ISDIR(state.st_mode);
    int error = verdict_of(folder ? "fsyncdir" : "fsync", descriptor);
    if (error > 0)
        FAIL(error);
    return REAL(fsync)(descriptor);
}

int flock(int descriptor, int operation) {
    int error = verdict_of("flock", descriptor);
    if (error > 0)
        FAIL(error);
    return REAL(flock)(descriptor, operation);
}

int rename(const char *from, const char *to) {
    int error = verdict("rename", to);
    if (error > 0)
        FAIL(error);
    return REAL(rename)(from, to);
}

static int locks(int command) {
    return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK ||
           command == F_OFD_SETLKW;
}

int fcntl(int descriptor, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int error = locks(command) ? verdict_of("flock", descriptor) : 0;
    if (error > 0)
        FAIL(error);
    return REAL(fcntl)(descriptor, command, argument);
}

int fcntl64(int descriptor, int command, ...) {
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    int error = locks(command) ? verdict_of("flock", descriptor) : 0;
    if (error > 0)
        FAIL(error);
    return REAL(fcntl64)(descriptor, command, argument);
}
