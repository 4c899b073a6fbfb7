/* Preloaded: of files and pipes, a call reads or writes some bytes at most, and every other one is interrupted before that.
   The kernel may do both at any time. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static unsigned long turn;
static const char *proof;

__attribute__((constructor)) static void begin(void)
{
    proof = getenv("PIECES_PROOF");
    /* What the program becomes or starts is left alone. */
    unsetenv("LD_PRELOAD");
}

/* How many of these bytes the call may move; 0 when it is interrupted. */
static size_t allowed(int fd, size_t wanted, int writes)
{
    struct stat found;
    int saved = errno;
    int is_plain = fstat(fd, &found) == 0 && (S_ISREG(found.st_mode) || S_ISFIFO(found.st_mode));
    errno = saved;
    if (!is_plain || wanted == 0)
        return wanted;
    if (++turn % 2) {
        errno = EINTR;
        return 0;
    }
    size_t most = 1 + turn * 7919 % 127;
    if (wanted <= most)
        return wanted;
    if (writes && S_ISREG(found.st_mode) && proof) {
        syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, proof, O_CREAT | O_WRONLY, 0600));
        proof = NULL;
    }
    return most;
}

ssize_t write(int fd, const void *bytes, size_t wanted)
{
    size_t most = allowed(fd, wanted, 1);
    return most || !wanted ? syscall(SYS_write, fd, bytes, most) : -1;
}

ssize_t read(int fd, void *bytes, size_t wanted)
{
    size_t most = allowed(fd, wanted, 0);
    return most || !wanted ? syscall(SYS_read, fd, bytes, most) : -1;
}

ssize_t pread64(int fd, void *bytes, size_t wanted, off_t from)
{
    size_t most = allowed(fd, wanted, 0);
    return most || !wanted ? syscall(SYS_pread64, fd, bytes, most, from) : -1;
}
