#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#endif

int procket_fcntl(int fd, int command, int argument) { return fcntl(fd, command, argument); }

int procket_ioctl(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument); }

int procket_open(const char *path, int flags) { return open(path, flags); }

int procket_open_in(int directory, const char *name, int flags) { return openat(directory, name, flags); }

#ifdef __linux__
_Static_assert(procket_set_pipe_size == F_SETPIPE_SZ && procket_get_pipe_size == F_GETPIPE_SZ, "fcntl.h");

ssize_t procket_share(int fd, const void *bytes, size_t count) {
  struct iovec whole = {.iov_base = (void *)bytes, .iov_len = count};
  return vmsplice(fd, &whole, 1, 0);
}
#else
ssize_t procket_share(int fd, const void *bytes, size_t count) {
  errno = ENOSYS;
  return -1;
}
#endif

size_t procket_cmsg_space(size_t length) { return CMSG_SPACE(length); }

size_t procket_cmsg_len(size_t length) { return CMSG_LEN(length); }

#ifdef __linux__
int procket_many(int fd, struct procket_message *messages, size_t count, int flags, int receives) {
  struct mmsghdr headers[procket_most_messages];
  if (count > procket_most_messages) count = procket_most_messages;
  memset(headers, 0, count * sizeof *headers);
  for (size_t i = 0; i < count; i++) {
    headers[i].msg_hdr.msg_iov = &messages[i].data;
    headers[i].msg_hdr.msg_iovlen = 1;
    headers[i].msg_hdr.msg_name = messages[i].address;
    headers[i].msg_hdr.msg_namelen = messages[i].address_length;
  }
  int result = receives ? recvmmsg(fd, headers, (unsigned)count, flags, NULL) : sendmmsg(fd, headers, (unsigned)count, flags);
  for (int i = 0; i < result; i++) {
    messages[i].count = headers[i].msg_len;
    messages[i].address_length = headers[i].msg_hdr.msg_namelen;
  }
  return result;
}
#else
int procket_many(int fd, struct procket_message *messages, size_t count, int flags, int receives) {
  for (size_t i = 0; i < count; i++) {
    struct msghdr header = {.msg_iov = &messages[i].data, .msg_iovlen = 1, .msg_name = messages[i].address};
    header.msg_namelen = messages[i].address_length;
    ssize_t length = receives ? recvmsg(fd, &header, flags) : sendmsg(fd, &header, flags);
    if (length < 0) return i > 0 ? (int)i : -1;
    messages[i].count = (size_t)length;
    messages[i].address_length = header.msg_namelen;
  }
  return (int)count;
}
#endif

int procket_peer_user(int fd, uid_t *user, pid_t *process) {
#ifdef __linux__
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return -1;
  *user = credentials.uid;
  *process = credentials.pid;
  return 0;
#else
  gid_t group;
  *process = -1;
  return getpeereid(fd, user, &group);
#endif
}

int procket_accept(int fd, struct sockaddr *address, socklen_t *length) {
#ifdef __APPLE__
  int connection = accept(fd, address, length);
  if (connection >= 0 && (fcntl(connection, F_SETFD, FD_CLOEXEC) != 0 || fcntl(connection, F_SETFL, O_NONBLOCK) != 0)) {
    int failure = errno;
    close(connection);
    errno = failure;
    return -1;
  }
  return connection;
#else
  return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
#endif
}

int procket_dup_to(int fd, int number) {
#ifdef __APPLE__
  int duplicate = dup2(fd, number);
  if (duplicate >= 0) fcntl(duplicate, F_SETFD, FD_CLOEXEC);
  return duplicate;
#else
  return dup3(fd, number, O_CLOEXEC);
#endif
}

int procket_processors(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

#ifdef __linux__
_Static_assert(procket_path_only == O_PATH, "O_PATH");

static int open_without_links(int directory, const char *path, int flags, uint64_t resolve) {
  struct open_how how = {.flags = (uint64_t)flags, .resolve = resolve | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

int procket_open_beneath(int directory, const char *path, int flags) {
  return open_without_links(directory, path, flags, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
}

int procket_open_straight(const char *path, int flags) { return open_without_links(AT_FDCWD, path, flags, 0); }

int procket_is_namespace(int fd) {
  struct statfs information;
  return fstatfs(fd, &information) == 0 && information.f_type == NSFS_MAGIC;
}

int procket_setns(int fd, int type) { return setns(fd, type); }

_Static_assert(procket_socket_namespace == SIOCGSKNS, "linux/sockios.h");

int procket_is_watched(pid_t process, int fd, int epoll, int number) {
  struct kcmp_epoll_slot slot = {.efd = (uint32_t)epoll, .tfd = (uint32_t)number, .toff = 0};
  long order = syscall(SYS_kcmp, process, getpid(), KCMP_EPOLL_TFD, (unsigned long)fd, &slot);
  // EBADF: the process has no such descriptor. ENOENT: the file was closed, and epoll has forgotten it.
  if (order < 0) return errno == EBADF || errno == ENOENT ? 0 : -1;
  return order == 0;
}

const char *procket_errno_name(int number) { return strerrorname_np(number); }
#else
struct name {
  int number;
  const char *name;
};

#define NAME(e) {e, #e}
static const struct name names[] = {
    NAME(EPERM),        NAME(ENOENT),       NAME(EINTR),      NAME(EIO),           NAME(ENXIO),       NAME(E2BIG),
    NAME(EBADF),        NAME(EAGAIN),       NAME(ENOMEM),     NAME(EACCES),        NAME(EFAULT),      NAME(EBUSY),
    NAME(EEXIST),       NAME(ENODEV),       NAME(ENOTDIR),    NAME(EISDIR),        NAME(EINVAL),      NAME(ENFILE),
    NAME(EMFILE),       NAME(ENOTTY),       NAME(EFBIG),      NAME(ENOSPC),        NAME(ESPIPE),      NAME(EROFS),
    NAME(EPIPE),        NAME(ERANGE),       NAME(ENOTSOCK),   NAME(EDESTADDRREQ),  NAME(EMSGSIZE),    NAME(EPROTOTYPE),
    NAME(ENOPROTOOPT),  NAME(EOPNOTSUPP),   NAME(EADDRINUSE), NAME(EADDRNOTAVAIL), NAME(ENETDOWN),    NAME(ENETUNREACH),
    NAME(ENETRESET),    NAME(ECONNABORTED), NAME(ECONNRESET), NAME(ENOBUFS),       NAME(EISCONN),     NAME(ENOTCONN),
    NAME(ESHUTDOWN),    NAME(ETIMEDOUT),    NAME(ELOOP),      NAME(ECONNREFUSED),  NAME(EINPROGRESS), NAME(EALREADY),
    NAME(EHOSTDOWN),    NAME(EHOSTUNREACH), NAME(ENOSYS),     NAME(ENAMETOOLONG),  NAME(EAFNOSUPPORT), NAME(EPROTONOSUPPORT),
    NAME(ESOCKTNOSUPPORT), NAME(EPFNOSUPPORT), NAME(ETXTBSY), NAME(ESRCH),
};

const char *procket_errno_name(int number) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].number == number) return names[i].name;
  return NULL;
}
#endif
