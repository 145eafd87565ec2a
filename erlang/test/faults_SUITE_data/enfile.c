/* socket(2) as it is where the whole system has no descriptor left, while the first byte of the file $PROCKET_FAULT is '1'. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const volatile char *fault;

/* Before the program gives up its right to open files. */
__attribute__((constructor)) static void prepare(void) {
  int fd = open(getenv("PROCKET_FAULT"), O_RDONLY | O_CLOEXEC);
  fault = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
}

int socket(int family, int type, int protocol) {
  if (*fault == '1') {
    errno = ENFILE;
    return -1;
  }
  int (*next)(int, int, int) = dlsym(RTLD_NEXT, "socket");
  return next(family, type, protocol);
}
