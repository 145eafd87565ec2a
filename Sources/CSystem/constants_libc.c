#include "constants_libc.h"

#include "constants.h"

static const struct procket_constant table[] = {
#include "constants_libc.inc"
    {NULL, 0},
};

const struct procket_constant *procket_constants_libc(size_t *count) {
  *count = sizeof table / sizeof *table - 1;
  return table;
}
