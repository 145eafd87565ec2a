#include "constants_kernel.h"

#include "constants.h"

static const struct procket_constant table[] = {
#include "constants_kernel.inc"
    {NULL, 0},
};

const struct procket_constant *procket_constants_kernel(size_t *count) {
  *count = sizeof table / sizeof *table - 1;
  return table;
}
