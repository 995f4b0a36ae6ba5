/* Arrays whose elements lie elsewhere, in a device's memory say, until somebody looks at them.
 *
 * In: a remote: any object whose method `read` gives the elements, as an ndarray that nobody
 * changes. Out: Arrays that ask for them when they must, and keep them. An Array with a remote and
 * elements of its own has the same ones in both places. Must not know what a remote is.
 */
#include "core.h"

bool array_is_remote(const Array *array) { return array->remote != NULL; }

/* ---- reading ---- */

static int adopt(Array *array, const Array *found)
{
    if (found->dtype != array->dtype || found->size != array->size || !found->storage) {
        PyErr_SetString(PyExc_SystemError, "a remote has given elements of another type");
        return -1;
    }
    found->storage->references++;
    array_store(array, found->storage, found->data);
    return 0;
}

void *array_bring(Array *array)
{
    PyObject *remote = Py_NewRef(array->remote);
    PyObject *elements = PyObject_CallMethod(remote, "read", NULL);
    Array *found = elements ? (Array *)array_from_numpy(elements, array->weak, false) : NULL;
    int failed = found ? array_check(array) : -1; /* Python has run: it may be gone, or here */
    if (!failed && !array->data)
        failed = adopt(array, found);
    Py_XDECREF((PyObject *)found);
    Py_XDECREF(elements);
    Py_DECREF(remote);
    return failed ? NULL : array->data;
}

/* ---- functions of the module ---- */

static Array *array_argument(PyObject *object)
{
    if (ARRAY_CHECK(object))
        return array_check((Array *)object) < 0 ? NULL : (Array *)object;
    PyErr_Format(PyExc_TypeError, "expected an Array, not %.100s", Py_TYPE(object)->tp_name);
    return NULL;
}

PyObject *remote_array(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *dtype, *shape, *remote;
    int weak;
    int64_t extents[MAX_DIMENSIONS];
    if (!PyArg_ParseTuple(args, "OOpO:remote_array", &dtype, &shape, &weak, &remote))
        return NULL;
    int code = dtype_code(dtype);
    int dimensions = code >= 0 ? shape_from_tuple(shape, extents) : -1;
    Array *array = dimensions < 0 ? NULL
                 : array_wrap(code, dimensions, extents, weak, NULL, NULL);
    if (array)
        array->remote = Py_NewRef(remote);
    return (PyObject *)array;
}

PyObject *remote_of(PyObject *module, PyObject *object)
{
    (void)module;
    Array *array = array_argument(object);
    return array ? Py_NewRef(array->remote ? array->remote : Py_None) : NULL;
}

/* Memory of others may change after the elements have been copied. */
PyObject *attach_remote(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *object, *remote;
    if (!PyArg_ParseTuple(args, "OO:attach_remote", &object, &remote))
        return NULL;
    Array *array = array_argument(object);
    if (!array)
        return NULL;
    bool is_own = !array->remote && (!array->storage || !array->storage->release);
    if (is_own)
        array->remote = Py_NewRef(remote);
    return PyBool_FromLong(is_own);
}

PyObject *take_remote(PyObject *module, PyObject *object)
{
    (void)module;
    Array *array = array_argument(object);
    if (!array)
        return NULL;
    PyObject *remote = array->remote;
    if (!remote || Py_REFCNT(remote) != 1)
        Py_RETURN_NONE;
    array->remote = NULL;
    array_delete(array);
    return remote;
}

PyObject *is_at_hand(PyObject *module, PyObject *object)
{
    (void)module;
    Array *array = array_argument(object);
    return array ? PyBool_FromLong(array->data != NULL) : NULL;
}
