#include <ei.h>
