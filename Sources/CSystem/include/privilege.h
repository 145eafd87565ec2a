// What Swift cannot import of the calls by which a process gives rights up.
#ifndef PROCKET_PRIVILEGE_H
#define PROCKET_PRIVILEGE_H

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#ifdef __linux__
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#endif

// The arguments of main, up to NULL. The Swift runtime looks for them in /proc, which need not be there. NULL where the C library
// gives them to main alone.
char **procket_arguments(void);

// Whether the executable gave this process rights that the one who started it has not: setuid, setgid, file capabilities.
int procket_started_secure(void);

// Gives up every other user and group, the saved ones too.
int procket_become(uid_t user, gid_t group);

int procket_close_from(int first);
int procket_clear_environment(void);
// No core dump, and not to be read or traced by others: prctl(2), setrlimit(2).
int procket_undumpable(void);
// So many open files, and no other process: setrlimit(2).
int procket_limit(rlim_t files);
// No signal is blocked or ignored because a parent had it so.
int procket_reset_signals(void);

#ifdef __linux__
// Changes the saved user alone, which changes no right: setresuid(2).
int procket_save_user(uid_t user);

// Sets of capabilities, a bit each: capabilities(7).
struct procket_capabilities {
  uint64_t effective;
  uint64_t permitted;
  uint64_t inheritable;
};
int procket_get_capabilities(struct procket_capabilities *sets);
int procket_set_capabilities(const struct procket_capabilities *sets);
// Whether a change of the user leaves the permitted set as it is.
int procket_keep_capabilities(int keep);
// Empties the ambient set, and the bounding set where that is allowed.
int procket_bound_capabilities(void);

// No new rights by execve(2): prctl(2).
int procket_no_new_privileges(void);

// A set of rules for landlock(7), a descriptor: under it no file is opened for writing, made, removed or executed, nor, where `reading`,
// opened for reading, but below what is allowed. No TCP connection is made, and no abstract Unix socket or signal reaches others. What an
// older version cannot bound is not bounded; -1 where the kernel has none.
int procket_landlock_ruleset(int reading);
enum { procket_landlock_write = 1 << 1, procket_landlock_read = 1 << 2, procket_landlock_list = 1 << 3 };
// Files below a directory, or one file; `fd` may be one that only names it.
int procket_landlock_allow(int ruleset, int fd, int rights);
// From here on, for good.
int procket_landlock_restrict(int ruleset);
// -1 where the kernel has none.
int procket_landlock_version(void);

// Only the system calls that the filter lets through: seccomp(2).
int procket_filter_system_calls(const struct sock_filter *filter, unsigned short length);
#endif

#endif
