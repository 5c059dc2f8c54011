/* Preloaded into a process: remembers, of the files below a folder, what was flushed to the disk and nothing else.
 *
 * What a flush makes durable is written below FORGETFUL_MEMORY: of a file its content, of a folder its entries, each
 * under an identity that no other file ever has. What was written, made, renamed or removed and not flushed is not there.
 * FORGETFUL_FOLDER is the folder; without FORGETFUL_MEMORY nothing is remembered. FORGETFUL_LIES = files, folders or database: the flushes of these do nothing; a test
 * must notice. FORGETFUL_KILL = end of a path: the process is killed once something with it was flushed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Write who the file at `path` is: an inode number is given anew to the next file, with the time of its birth it is not. */
int forgetful_identity(const char *path, char *identity, size_t size) {
    struct statx found;
    if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &found)) return -1;
    snprintf(identity, size, "%llu-%lld.%u", (unsigned long long)found.stx_ino, (long long)found.stx_btime.tv_sec,
             found.stx_btime.tv_nsec);
    return 0;
}

/* Copy by the descriptor: closing another one of the same file would let go of the locks that SQLite holds on it. */
static int copy(int from, int to) {
    char buffer[1 << 16];
    ssize_t size;
    for (off_t at = 0; (size = pread(from, buffer, sizeof buffer, at)) > 0; at += size)
        if (write(to, buffer, size) != size) return -1;
    return size ? -1 : 0;
}

static int list(const char *path, int to) {
    char child[PATH_MAX], identity[64];
    DIR *folder = opendir(path);
    if (!folder) return -1;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (forgetful_identity(child, identity, sizeof identity)) continue; /* removed meanwhile */
        dprintf(to, "%s %c %s\n", identity, entry->d_type == DT_DIR ? 'd' : 'f', entry->d_name);
    }
    closedir(folder);
    return 0;
}

/* Remember the file or the entries of the folder behind `descriptor`, whole or not at all. */
static int remember(int descriptor, const char *memory) {
    char path[64], identity[64], part[PATH_MAX], whole[PATH_MAX];
    struct stat found;
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    if (fstat(descriptor, &found) || forgetful_identity(path, identity, sizeof identity)) return -1;
    snprintf(part, sizeof part, "%s/part.%ld", memory, (long)syscall(SYS_gettid));
    snprintf(whole, sizeof whole, "%s/%s", memory, identity);
    int readable = (fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_WRONLY;
    int from = readable ? descriptor : open(path, O_RDONLY | O_CLOEXEC);
    int to = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int lock = open(memory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    flock(lock, LOCK_EX); /* an older content must not follow a newer one */
    int failed = S_ISDIR(found.st_mode) ? list(path, to) : copy(from, to);
    failed = close(to) || failed || rename(part, whole);
    close(lock);
    if (!readable) close(from);
    return failed ? -1 : 0;
}

/* Remember what lies at `path`. */
int forgetful_remember(const char *path, const char *memory) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    int failed = descriptor < 0 || remember(descriptor, memory);
    if (descriptor >= 0) close(descriptor);
    return failed ? -1 : 0;
}

static int lies(const char *path, int descriptor, const char *about) {
    struct stat found;
    int folder = !fstat(descriptor, &found) && S_ISDIR(found.st_mode), database = !!strstr(path, ".sqlite");
    if (!strcmp(about, "folders")) return folder;
    if (!strcmp(about, "database")) return database;
    return !strcmp(about, "files") && !folder && !database;
}

/* Write where the file behind `descriptor` lies; return whether that is in the folder. */
static int is_ours(int descriptor, char *path, size_t size) {
    const char *folder = getenv("FORGETFUL_FOLDER");
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = folder ? readlink(link, path, size - 1) : -1;
    if (length < 0) return 0;
    path[length] = 0;
    size_t begin = strlen(folder);
    return !strncmp(path, folder, begin) && (!path[begin] || path[begin] == '/');
}

static int ends_with(const char *path, const char *end) {
    size_t all = strlen(path), some = strlen(end);
    return all >= some && !strcmp(path + all - some, end);
}

static int flush(int descriptor, long call) {
    const char *memory = getenv("FORGETFUL_MEMORY"), *about = getenv("FORGETFUL_LIES"), *last = getenv("FORGETFUL_KILL");
    char path[PATH_MAX];
    int ours = is_ours(descriptor, path, sizeof path);
    if (ours && about && lies(path, descriptor, about)) return 0;
    int failed = syscall(call, descriptor);
    if (failed || !ours) return failed;
    if (memory && remember(descriptor, memory)) abort(); /* what cannot be remembered would look like a loss */
    if (last && ends_with(path, last)) kill(getpid(), SIGKILL);
    return 0;
}

int fsync(int descriptor) { return flush(descriptor, SYS_fsync); }

int fdatasync(int descriptor) { return flush(descriptor, SYS_fdatasync); }

static int remember_one(const char *path, const struct stat *found, int kind, struct FTW *where) {
    (void)found, (void)kind, (void)where;
    if (!strstr(path, ".sqlite")) forgetful_remember(path, getenv("FORGETFUL_MEMORY")); /* for its locks, see above */
    return 0;
}

int syncfs(int descriptor) {
    int failed = syscall(SYS_syncfs, descriptor);
    const char *folder = getenv("FORGETFUL_FOLDER");
    if (!failed && folder && getenv("FORGETFUL_MEMORY") && !getenv("FORGETFUL_LIES"))
        nftw(folder, remember_one, 16, FTW_PHYS);
    return failed;
}
