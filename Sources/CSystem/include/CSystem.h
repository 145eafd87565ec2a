// What Swift cannot import: variadic functions, macros with arguments, structures behind feature macros.
#ifndef PROCKET_CSYSTEM_H
#define PROCKET_CSYSTEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

#ifdef __linux__
#include <net/if.h>
#include <netpacket/packet.h>
#include <sys/epoll.h>
#endif

#include "constants.h"
#include "packet_ring.h"
#include "privilege.h"

// The name of an errno, as "EAGAIN"; NULL where there is none.
const char *procket_errno_name(int number);

int procket_fcntl(int fd, int command, int argument);
int procket_ioctl(int fd, unsigned long request, void *argument);
int procket_open(const char *path, int flags);
int procket_open_in(int directory, const char *name, int flags);

// fcntl(2)
enum { procket_set_pipe_size = 1031, procket_get_pipe_size = 1032 };
// Puts memory of this process into a pipe, as it is when it is read: vmsplice(2).
ssize_t procket_share(int fd, const void *bytes, size_t count);

// cmsg(3)
size_t procket_cmsg_space(size_t length);
size_t procket_cmsg_len(size_t length);

// One of the messages of sendmmsg(2) and recvmmsg(2): a buffer and an address, and how long what was received or sent is.
struct procket_message {
  struct iovec data;
  void *address;
  socklen_t address_length;
  size_t count;
};
// The kernel takes no more at once: UIO_MAXIOV.
enum { procket_most_messages = 1024 };
// sendmmsg(2), or recvmmsg(2) where it `receives`: how many messages; -1 and errno where the first failed.
int procket_many(int fd, struct procket_message *messages, size_t count, int flags, int receives);

// The user who listens on the other end of a Unix socket; -1 and errno where it cannot be told.
int procket_peer_user(int fd, uid_t *user, pid_t *process);

// Non-blocking and close-on-exec: accept(2), and dup2(2).
int procket_accept(int fd, struct sockaddr *address, socklen_t *length);
int procket_dup_to(int fd, int number);

// The processors that this process may run on.
int procket_processors(void);

#ifdef __linux__
// A descriptor that only names a file: `O_PATH`.
enum { procket_path_only = 010000000 };
// Opens a file below a directory, through no symbolic link and on the same file system: openat2(2).
int procket_open_beneath(int directory, const char *path, int flags);
// Opens a file through no symbolic link.
int procket_open_straight(const char *path, int flags);
int procket_is_namespace(int fd);
// SIOCGSKNS: a descriptor of the network namespace of a socket, netdevice(7).
enum { procket_socket_namespace = 0x894C };
int procket_setns(int fd, int type);
// Whether a descriptor of another process is the file that an epoll instance of this one has under a number: kcmp(2). -1 and errno where the
// kernel does not say.
int procket_is_watched(pid_t process, int fd, int epoll, int number);
#endif

#endif
