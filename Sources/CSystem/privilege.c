#include "include/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/auxv.h>
#include <sys/prctl.h>
#endif

int procket_started_secure(void) {
#ifdef __linux__
  return getauxval(AT_SECURE) != 0;
#else
  return issetugid();
#endif
}

// The C libraries of these systems call a constructor as they call main. Elsewhere it has no arguments.
#if defined(__GLIBC__) || defined(__APPLE__) || defined(__FreeBSD__)
static char **arguments;

// Before anything else of this executable runs, the Swift runtime too: what a stranger wrote is not read.
__attribute__((constructor(101))) static void begin(int count, char **vector) {
  (void)count;
  arguments = vector;
  if (procket_started_secure()) procket_clear_environment();
}

char **procket_arguments(void) { return arguments; }
#else
__attribute__((constructor(101))) static void begin(void) {
  if (procket_started_secure()) procket_clear_environment();
}

char **procket_arguments(void) { return NULL; }
#endif

int procket_become(uid_t user, gid_t group) {
#ifdef __linux__
  if (setresgid(group, group, group) != 0) return -1;
  return setresuid(user, user, user);
#else
  if (setgid(group) != 0) return -1;
  return setuid(user);
#endif
}

int procket_close_from(int first) {
#if defined(__linux__) && defined(SYS_close_range)
  if (syscall(SYS_close_range, first, ~0U, 0) == 0) return 0;
#endif
  // Not up to the limit of open files: a parent may have lowered that after it had opened them. The kernel's own is 2^20.
  for (int fd = first; fd < 1 << 20; fd++) close(fd);
  return 0;
}

// In place, so that nothing of it is left in memory.
int procket_clear_environment(void) {
  extern char **environ;
  if (environ == NULL) return 0;
  for (char **variable = environ; *variable != NULL; variable++) memset(*variable, 0, strlen(*variable));
  environ[0] = NULL;
  return 0;
}

int procket_undumpable(void) {
  struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0) return -1;
#ifdef __linux__
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#else
  return 0;
#endif
}

int procket_limit(rlim_t files) {
  struct rlimit open_files = {files, files};
  struct rlimit none = {0, 0};
  return setrlimit(RLIMIT_NOFILE, &open_files) != 0 ? -1 : setrlimit(RLIMIT_NPROC, &none);
}

int procket_reset_signals(void) {
  sigset_t none;
  if (sigemptyset(&none) != 0 || sigprocmask(SIG_SETMASK, &none, NULL) != 0) return -1;
  for (int number = 1; number < NSIG; number++) signal(number, number == SIGPIPE ? SIG_IGN : SIG_DFL);
  return 0;
}

#ifdef __linux__
int procket_save_user(uid_t user) { return setresuid((uid_t)-1, (uid_t)-1, user); }

int procket_get_capabilities(struct procket_capabilities *sets) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) != 0) return -1;
  sets->effective = data[0].effective | (uint64_t)data[1].effective << 32;
  sets->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
  sets->inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
  return 0;
}

int procket_set_capabilities(const struct procket_capabilities *sets) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++) {
    data[i].effective = (uint32_t)(sets->effective >> 32 * i);
    data[i].permitted = (uint32_t)(sets->permitted >> 32 * i);
    data[i].inheritable = (uint32_t)(sets->inheritable >> 32 * i);
  }
  return (int)syscall(SYS_capset, &header, data);
}

int procket_keep_capabilities(int keep) { return prctl(PR_SET_KEEPCAPS, keep, 0, 0, 0); }

int procket_bound_capabilities(void) {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) return -1;
  for (int number = 0; number < 64; number++) {
    // EINVAL: the last one has been passed. EPERM: without CAP_SETPCAP it stays, and bounds nothing but an execve that never is.
    if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0) return errno == EINVAL || errno == EPERM ? 0 : -1;
  }
  return 0;
}

// Of linux/landlock.h, which not every system's headers have; the numbers of the calls are the same everywhere.
enum {
  landlock_create_ruleset = 444,
  landlock_add_rule = 445,
  landlock_restrict_self = 446,
  landlock_version = 1,
  landlock_path_beneath = 1,
  // EXECUTE, and all that remove or make a file; later versions: REFER, TRUNCATE.
  landlock_changes = 1 | procket_landlock_write | 0x1ff0,
  landlock_refer = 1 << 13,
  landlock_truncate = 1 << 14,
  landlock_connect_tcp = 1 << 1,
  // Abstract Unix sockets, signals.
  landlock_scopes = 3,
};
int procket_landlock_version(void) { return (int)syscall(landlock_create_ruleset, NULL, 0, landlock_version); }

int procket_landlock_ruleset(int reading) {
  int version = procket_landlock_version();
  if (version < 0) return -1;
  struct {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
  } handled = {landlock_changes, 0, 0};
  size_t size = sizeof handled.files;
  if (reading) handled.files |= procket_landlock_read | procket_landlock_list;
  if (version >= 2) handled.files |= landlock_refer;
  if (version >= 3) handled.files |= landlock_truncate;
  if (version >= 4) {
    handled.network = landlock_connect_tcp;
    size += sizeof handled.network;
  }
  if (version >= 6) {
    handled.scopes = landlock_scopes;
    size += sizeof handled.scopes;
  }
  return (int)syscall(landlock_create_ruleset, &handled, size, 0);
}

int procket_landlock_allow(int ruleset, int fd, int rights) {
  struct {
    uint64_t allowed;
    int32_t beneath;
  } __attribute__((packed)) rule = {(uint64_t)rights, fd};
  return (int)syscall(landlock_add_rule, ruleset, landlock_path_beneath, &rule, 0);
}

int procket_landlock_restrict(int ruleset) { return (int)syscall(landlock_restrict_self, ruleset, 0); }

int procket_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

int procket_filter_system_calls(const struct sock_filter *filter, unsigned short length) {
  struct sock_fprog program = {length, (struct sock_filter *)filter};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
#endif
