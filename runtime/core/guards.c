/* Whether values that a program read from Python are still the same objects.
 *
 * In: checks, tuples (get, container, key, expected) for which get(container, key) is `expected`.
 * Out: whether all of them hold; errors of `get` are passed on. Must not know what they are for.
 */
#include "core.h"

/* What a check finds now: a new reference, or NULL with an error. */
static PyObject *found_now(PyObject *const *check)
{
    PyObject *const arguments[] = {check[1], check[2]};
    return PyObject_Vectorcall(check[0], arguments, 2, NULL);
}

PyObject *are_unchanged(PyObject *module, PyObject *checks)
{
    (void)module;
    if (!PyTuple_Check(checks)) {
        PyErr_SetString(PyExc_TypeError, "are_unchanged takes a tuple of checks");
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(checks); i++) {
        PyObject *check = PyTuple_GET_ITEM(checks, i);
        if (!PyTuple_Check(check) || PyTuple_GET_SIZE(check) != 4) {
            PyErr_SetString(PyExc_TypeError, "a check is a tuple of four");
            return NULL;
        }
        PyObject *const *parts = &PyTuple_GET_ITEM(check, 0);
        PyObject *found = found_now(parts);
        if (!found)
            return NULL;
        bool same = found == parts[3];
        Py_DECREF(found);
        if (!same)
            Py_RETURN_FALSE;
    }
    Py_RETURN_TRUE;
}
