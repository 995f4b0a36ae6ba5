/* Allocations that fail on request, in builds with JITML_FAIL_ALLOCATIONS, for tests.
 *
 * In: a number n. Out: the n-th of the core's calls from then on that may run out of memory does,
 * once. Nothing of this is in an ordinary build.
 */
#include "core.h"

#ifdef JITML_FAIL_ALLOCATIONS

#include <stdlib.h>

static int64_t seen, failing; /* such calls so far, and the one that fails; Python is held */

bool allocation_fails(void) { return ++seen == failing; }

static PyObject *fail_allocation(PyObject *module, PyObject *number)
{
    (void)module;
    long long before = seen;
    failing = PyLong_AsLongLong(number);
    if (failing < 0 && PyErr_Occurred())
        return NULL;
    seen = 0;
    return (PyLong_FromLongLong)(before);
}

static PyMethodDef functions[] = {
    {"fail_allocation", fail_allocation, METH_O,
     "Let the n-th allocation from now fail, none if n is 0; the result is how many there were."},
    {NULL, NULL, 0, NULL},
};

/* While the module is imported, the environment tells which one fails. */
int failures_setup(PyObject *module)
{
    const char *asked = getenv("JITML_FAIL_ALLOCATION");
    failing = asked ? atoll(asked) : 0;
    return (PyModule_AddFunctions)(module, functions);
}

#else

int failures_setup(PyObject *module)
{
    (void)module;
    return 0;
}

#endif
