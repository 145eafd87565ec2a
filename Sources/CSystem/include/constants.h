// The constants of this system's socket headers: names as they stand there, and their values.
#ifndef PROCKET_CONSTANTS_H
#define PROCKET_CONSTANTS_H

#include <stddef.h>
#include <stdint.h>

struct procket_constant {
  const char *name;
  int64_t value;
};

// Sets the number of the constants, sorted by name.
const struct procket_constant *procket_constants_libc(size_t *count);
const struct procket_constant *procket_constants_kernel(size_t *count);
// Address families: lower-case names, as "inet".
const struct procket_constant *procket_families(size_t *count);

#endif
