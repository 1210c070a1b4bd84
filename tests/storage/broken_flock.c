/* A file system whose locks do not exclude: flock(2) always succeeds, or is not supported. */
#include <errno.h>
#include <stdlib.h>

int flock(int descriptor, int operation) {
    (void)descriptor, (void)operation;
    if (!getenv("FLOCK_UNSUPPORTED")) return 0;
    errno = ENOLCK;
    return -1;
}
