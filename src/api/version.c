/* Which library this is. */
#include "mezzotint.h"

int mzt_version(const char **text) {
    if (text) *text = MZT_VERSION_STRING;
    return MZT_ABI_VERSION;
}
